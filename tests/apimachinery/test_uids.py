"""UUIDs that are UUIDs, differ, and differ in forked children too."""

from __future__ import annotations

import os
import uuid

from apimachinery import uids


def test_they_are_random_uuids() -> None:
    made = [uids.new() for _ in range(1000)]
    assert len(set(made)) == 1000
    for text in made:
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122


def test_a_forked_child_does_not_repeat_its_parents() -> None:
    uids.new()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, uids.new().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100).decode() != uids.new()
