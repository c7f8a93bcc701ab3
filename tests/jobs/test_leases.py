from __future__ import annotations

from flask import Flask

from mlpipe import db
from mlpipe.jobs import leases, service


def hold(holder: str, now: int, until: int) -> int | None:
    with db.transaction() as connection:
        return leases.hold(connection, "scheduler", holder, now_us=now, until_us=until)


def test_one_holds_the_lease_and_may_prolong_it(app: Flask) -> None:
    assert hold("a", 0, 10) == 1
    assert hold("b", 5, 15) is None
    assert hold("a", 5, 15) == 1


def test_an_expired_lease_goes_over_with_a_higher_fence(app: Flask) -> None:
    hold("a", 0, 10)
    assert hold("b", 11, 20) == 2
    assert hold("a", 12, 22) is None


def test_a_released_lease_is_free_at_once(app: Flask) -> None:
    hold("a", 0, 10)
    with db.transaction() as connection:
        leases.release(connection, "scheduler", "a")
    assert hold("b", 5, 15) == 2


def test_workers_that_fell_silent_are_forgotten(app: Flask) -> None:
    worker = {"id": "w", "host": "h", "pid": 1, "started_at": 0, "seen_at": 10, "model_version": None}
    with db.transaction() as connection:
        leases.beat(connection, worker | {"model_revision": None})
        leases.beat(connection, worker | {"model_revision": None, "seen_at": 20})
        assert [row.seen_at for row in leases.alive(connection, since_us=15)] == [20]
        leases.forget(connection, before_us=30)
        assert leases.alive(connection, since_us=0) == []


def test_a_lead_that_was_given_back_is_not_silent_for_ages(app: Flask) -> None:
    assert service.lead("a", lease_s=5)
    service.leave("a")
    assert service.leader_silent_s() is None
