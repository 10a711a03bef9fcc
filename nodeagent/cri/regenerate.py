"""Makes the generated Python of the project's .proto files: `python -m nodeagent.cri.regenerate`.

Called by `make protos`, after a .proto changed. Needs grpcio-tools (a development dependency). Only messages are
generated; the calls are made by name in client.py and containerd_api.py, so no generated stubs are needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

FILES = (
    "nodeagent/cri/runtime.proto",
    "nodeagent/cri/containerd.proto",
    "apiserver/storage/encryption/kms.proto",
)


def main() -> int:
    """Write *_pb2.py beside each .proto; the compiler's exit status."""
    from grpc_tools import protoc

    root = Path(__file__).resolve().parents[2]
    well_known = Path(protoc.__file__).parent / "_proto"
    status = int(protoc.main(["protoc", f"-I{root}", f"-I{well_known}", f"--python_out={root}", *FILES]))
    for name in FILES:
        # The classes are made when the module is imported, so a type checker has to be told that they may be there.
        stub = (root / name).with_name(Path(name).name.replace(".proto", "_pb2.pyi"))
        stub.write_text("from typing import Any\n\ndef __getattr__(name: str) -> Any: ...\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
