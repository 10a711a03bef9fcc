"""The Common Expression Language as Kubernetes 1.36 has it: parser, type checker, static and run-time costs, evaluation.

Used by validation rules of custom resources, admission policies, match conditions, and authentication and authorisation
configuration. Nothing here knows of HTTP, storage or kinds: schemas and types come in through apimachinery.cel.types and
apimachinery.cel.schemas. Values are plain Python (see apimachinery.cel.values). Environments are made with
apimachinery.cel.env.Env.

    lexer, parser, macros, literals, syntax     text -> tree
    checker, unify, declarations, types         types of the tree; functions are declared in one line each
    literalchecks                               constants that cannot work
    estimate, estimatecalls, ranges             static cost
    compiler, access, calls, loops, frame       tree -> closures
    runtimecost                                 what evaluation costs
    values, timevalues, library/                values and functions
    schemas                                     types from OpenAPI schemas, views of data
"""
