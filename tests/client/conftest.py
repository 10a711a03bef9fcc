from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client.api import Client
from tests.support import memoryapi
from tests.support.memoryapi import MemoryApi


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[MemoryApi, Client]]:
    async with memoryapi.serve(tmp_path) as pair:
        yield pair
