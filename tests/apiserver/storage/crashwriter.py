"""Writes to a store for ever, saying each acknowledged revision: killed by test_sqlite.py. python -m … PATH"""

import asyncio
import itertools
import sys

from apimachinery.clock import RealClock
from apiserver.storage import open_backend
from tests.apiserver.storage.subjects import PREFIX


async def main(path: str) -> None:
    backend = open_backend(f"sqlite:{path}", RealClock())
    await backend.start()
    numbers = itertools.count()

    async def write(i: int) -> None:
        for n in numbers:
            key = f"{PREFIX}ns/{backend.revision}-{i}-{n}"
            revision = await backend.create(key, b'v1\n"metadata":{},"data":"%d"}' % n)
            sys.stdout.write(f"{key} {revision}\n")
            sys.stdout.flush()

    await asyncio.gather(*(write(i) for i in range(8)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
