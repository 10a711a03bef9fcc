"""The command line, configuration, supervisor, PKI and first-run objects: what turns the parts into a cluster.

The only package that may import all the others. An installed wheel carries the others inside `steersman/_app`, which only
steersman's own processes put on their import path (see __main__.py); a checkout has them at its top level.
"""

__version__ = "0.1.0"
KUBERNETES_VERSION = "v1.36.2"
