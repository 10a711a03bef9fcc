"""Makes the generated Python of the .proto files in this folder: `python -m nodeagent.cri.regenerate`.

Called by `make protos`, after a .proto changed. Needs grpcio-tools (a development dependency). Only messages are
generated; the calls are made by name in client.py and containerd_api.py, so no generated stubs are needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

FILES = ("runtime.proto", "containerd.proto")


def main() -> int:
    """Write *_pb2.py beside each .proto; the compiler's exit status."""
    from grpc_tools import protoc

    here = Path(__file__).resolve().parent
    root = here.parent.parent
    well_known = Path(protoc.__file__).parent / "_proto"
    names = [str((here / name).relative_to(root)) for name in FILES]
    status = int(protoc.main(["protoc", f"-I{root}", f"-I{well_known}", f"--python_out={root}", *names]))
    for name in FILES:
        # The classes are made when the module is imported, so a type checker has to be told that they may be there.
        stub = (here / name).with_name(name.replace(".proto", "_pb2.pyi"))
        stub.write_text("from typing import Any\n\ndef __getattr__(name: str) -> Any: ...\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
