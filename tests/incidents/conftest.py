from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlpipe import clock
from tests.incidents.receiver import Receiver, receiving
from tests.moments import Time

START_US = 1_800_000_000 * 1_000_000


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time(START_US)
    monkeypatch.setattr(clock, "now_us", lambda: made.us)
    return made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made
