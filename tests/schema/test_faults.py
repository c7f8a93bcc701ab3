from __future__ import annotations

import pytest

from mlpipe.schema import faults


def test_client_text_is_cut() -> None:
    assert len(faults.a_value("x" * 10_000)) < 120
    assert len(faults.step("x" * 10_000)) < 120
    assert len(faults.some(["x" * 10_000] * 1_000)) < 1_200


@pytest.mark.parametrize("value", [[[[1]]], {"a": "secret"}])
def test_only_scalars_are_repeated(value: object) -> None:
    assert faults.a_value(value) in ("a list", "an object")


def test_only_what_is_listed_is_put_into_words() -> None:
    told: list[int] = []

    def tell(row: int) -> tuple[str, str]:
        told.append(row)
        return "code", "detail"

    found = faults.Faults()
    found.add(range(100_000), 0, where=faults.at_rows, tell=tell)
    with pytest.raises(faults.RowFaults) as caught:
        found.raise_any()
    assert (caught.value.total, len(caught.value.violations)) == (100_000, 20)
    assert len(told) <= 60
    assert caught.value.listed_rows == tuple(range(20))


def test_nothing_found_raises_nothing() -> None:
    found = faults.Faults()
    found.add([], 0, where=faults.at_rows, tell=lambda _: ("", ""))
    found.raise_any()
    assert not found
    assert len(found.rows) == 0
