"""From the bytes of a request to an object: JSON and YAML, strictness, and the original's words for what is wrong.

    parse(raw, yaml=False) -> Parsed        .obj is the decoded JSON value; ParseError(text) when it is none
    decode(info, parsed) -> (obj, problems) obj: pruned, checked, in canonical form (as Go would write it again); problems:
                                            'unknown field "spec.foo"', 'duplicate field "data.a"', in document order
                                            DecodeError(text) when a value has a wrong type: the text is what follows
                                            '... cannot be handled as a ConfigMap: '
    strict_text(problems)                   'strict decoding error: unknown field "a", duplicate field "b"'
"""
