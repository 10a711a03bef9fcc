from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.controllers.harness import Harness
from tests.support import memoryapi


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Controllers against an API server in memory; pods become ready by themselves unless told otherwise."""
    async with memoryapi.serve(tmp_path) as (api, client), Harness(api, client) as running:
        yield running
