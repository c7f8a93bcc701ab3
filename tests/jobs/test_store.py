from __future__ import annotations

from flask import Flask

from mlpipe import clock, db
from mlpipe.jobs import store

FAR = clock.now_us() + 10**12
PAST = 1


def ask(kind: str = "retraining", **options: object) -> int | None:
    with db.transaction() as connection:
        return store.enqueue(connection, kind, "because", **options)  # type: ignore[arg-type]


def claim(holder: str, lease_until: int = FAR) -> store.Job | None:
    with db.transaction() as connection:
        return store.claim(connection, "retraining", holder, lease_until=lease_until)


def test_a_second_retraining_joins_the_open_one(app: Flask) -> None:
    assert ask() is not None
    assert ask() is None


def test_a_slot_is_taken_once(app: Flask) -> None:
    assert ask("drift_check", slot=7, holder="a") is not None
    assert ask("drift_check", slot=7, holder="b") is None
    assert ask("drift_check", slot=8, holder="b") is not None


def test_a_job_is_claimed_once(app: Flask) -> None:
    ask()
    assert claim("a") is not None
    assert claim("b") is None


def test_the_job_of_a_silent_holder_is_taken_over_once_and_then_given_up(app: Flask) -> None:
    job = ask()
    claim("a", PAST)
    again = claim("b", PAST)
    assert again is not None
    assert again.attempts == 2
    assert claim("c") is None
    with db.transaction() as connection:
        assert [lost.id for lost in store.give_up(connection, "retraining")] == [job]


def test_a_holder_that_was_replaced_can_neither_beat_nor_finish(app: Flask) -> None:
    job = ask()
    claim("a", PAST)
    claim("b")
    with db.transaction() as connection:
        assert store.beat(connection, job, "a", lease_until=FAR, step="fit") is None
        assert not store.finish(connection, job, "a", state="done", outcome="promoted", sentence="")
        assert store.beat(connection, job, "b", lease_until=FAR, step="fit") is False


def test_cancel_ends_a_queued_job_and_asks_a_running_one(app: Flask) -> None:
    queued = ask()
    with db.transaction() as connection:
        assert store.cancel(connection, queued) == "cancelled"
    running = ask()
    claim("a")
    with db.transaction() as connection:
        assert store.cancel(connection, running) == "running"
        assert store.beat(connection, running, "a", lease_until=FAR, step="fit") is True
        assert store.cancel(connection, 999) is None


def test_waiting_for_labels_does_not_count_as_a_try(app: Flask) -> None:
    job = ask()
    claim("a")
    with db.transaction() as connection:
        assert store.wait_for_labels(connection, job, "a", "12 of 60")
        store.resume(connection, job)
    again = claim("b")
    assert again is not None
    assert again.attempts == 1


def test_jobs_of_a_time_are_those_that_were_open_in_it(app: Flask) -> None:
    first = ask()
    claim("a")
    with db.transaction() as connection:
        store.finish(connection, first or 0, "a", state="done", outcome="promoted", sentence="")
        ended = store.get(connection, first or 0)
    second = ask()
    assert ended is not None
    assert ended.finished_at is not None

    def between(since: int, until: int, outcome: str | None = None) -> list[int]:
        with db.reading() as connection:
            found = store.between(connection, "retraining", since_us=since, until_us=until, outcome=outcome)
        return [job.id for job in found]

    assert between(0, FAR) == [first, second]
    assert between(0, ended.created_at) == []
    assert between(ended.finished_at + 1, FAR) == [second]
    assert between(0, FAR, "promoted") == [first]
