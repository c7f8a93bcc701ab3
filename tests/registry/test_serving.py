from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mlpipe.registry import serving


def history(*stretches: str) -> list[Any]:
    """Return stretches, newest first, from texts such as ``3`` or ``2 rollback``, oldest first."""
    parts = [text.split() for text in stretches]
    rows = [SimpleNamespace(model_version=int(part[0]), kind=(*part, "deploy")[1]) for part in parts]
    return rows[::-1]


def test_nothing_served_before_the_first() -> None:
    assert serving.previous([]) is None
    assert serving.previous(history("1")) is None


def test_a_rollback_goes_to_what_served_before() -> None:
    assert serving.previous(history("1", "2", "3")) == 2


def test_a_second_rollback_goes_further_back() -> None:
    assert serving.previous(history("1", "2", "3", "2 rollback")) == 1


def test_a_version_is_left_by_a_rollback_until_it_serves_again() -> None:
    assert serving.left(history("1", "2", "1 rollback")) == {2}
    assert serving.left(history("1", "2", "1 rollback", "2", "3")) == frozenset()


def test_a_version_that_was_replaced_by_a_deploy_is_not_left() -> None:
    assert serving.left(history("1", "2", "3")) == frozenset()


def test_the_last_that_served_are_counted_once_each() -> None:
    assert serving.last_served(history("1", "2", "1", "3", "1"), 2) == {1, 3}


def test_the_newest_are_never_pruned() -> None:
    assert serving.to_prune([1, 2, 3], keep=3, held=frozenset()) == []
    assert serving.to_prune([1, 2, 3], keep=1, held=frozenset({2})) == [1]
