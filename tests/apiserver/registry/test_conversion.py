"""How many objects a conversion webhook is asked for at once."""

from __future__ import annotations

from apiserver.registry import conversion


def test_batches_are_bounded_in_number_and_in_bytes() -> None:
    small = [{"n": n} for n in range(1201)]
    batches = list(conversion._batches(small))
    assert [len(batch) for batch in batches] == [500, 500, 201]
    assert [obj for batch in batches for obj in batch] == small
    large = [{"data": "x" * (1 << 20)} for _ in range(7)]
    assert [len(batch) for batch in conversion._batches(large)] == [3, 3, 1]
    huge: list[dict[str, object]] = [{"data": "x" * (5 << 20)}, {"n": 1}]
    assert [len(batch) for batch in conversion._batches(huge)] == [1, 1]
    assert list(conversion._batches([])) == []
