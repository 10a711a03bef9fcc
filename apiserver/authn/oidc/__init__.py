"""Users by JSON web tokens of other issuers (OpenID Connect): --authentication-config and the --oidc-* flags.

    configuration    the file's shape; the same from flags
    validation       what a configuration must be; compiles its expressions
    expressions      CEL over claims and users
    claims           a token's payload, as Go would decode it
    provider         discovery of an issuer, its keys, and tokens verified by them
    distributed      claims that another server holds
    authenticator    a token to a user, for one issuer
    reload           all issuers of a configuration, and how a new configuration replaces them

Called by apiserver/authn/service.py only.
"""
