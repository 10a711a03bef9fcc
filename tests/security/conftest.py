"""A server for the tests that speak HTTP: one per test, in memory; certificates are made once a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.apiserver import Api, running


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the test servers' certificates are."""
    return tmp_path_factory.mktemp("apiserver")


@pytest.fixture
async def api(server_folder: Path) -> AsyncIterator[Api]:
    async with running(server_folder) as started:
        yield started
