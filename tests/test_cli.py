from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import cli, db, errors
from mlpipe.settings import Settings
from tests import trained
from tests.server import CHECKOUT


def command(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["mlpipe", *arguments])


def flask(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Flask's command line in the checkout, as a person does."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MLPIPE_", "FLASK_"))}
    return subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=CHECKOUT,
        env=clean | {"MLPIPE_HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ask(client: FlaskClient, n: int, rng: np.random.Generator, *, shift: float = 0.0) -> None:
    X, _ = trained.rows(n, rng, shift=shift)
    assert client.post("/predict", json={"features": X}).status_code == 200


# The command line -----------------------------------------------------------------------------------------------


def test_a_command_that_finds_no_database_says_so_in_one_line_and_makes_none(tmp_path: Path) -> None:
    done = flask(tmp_path, "mlpipe", "check")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: There is no database {tmp_path / 'mlpipe.db'}. Start the server once")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "mlpipe.db").exists()


def test_tables_are_made_and_compared_as_contributing_says_and_nothing_leads(tmp_path: Path) -> None:
    assert flask(tmp_path, "db", "upgrade").returncode == 0
    assert "No new upgrade operations detected" in flask(tmp_path, "db", "check").stdout
    done = flask(tmp_path, "mlpipe", "check", "--json")
    assert json.loads(done.stdout)["verdict"] == "waiting_for_data"
    with trained.opened(Settings(home=tmp_path)):
        rows = trained.counts()
    assert (rows["workers"], rows["leases"], rows["jobs"]) == (0, 0, 0)


def test_a_wrong_setting_ends_a_command_before_anything_is_opened(tmp_path: Path) -> None:
    done = flask(tmp_path, "mlpipe", "check", MLPIPE_TRESHOLD="1")
    assert done.returncode != 0
    assert "MLPIPE_TRESHOLD is not a setting of mlpipe. Did you mean MLPIPE_THRESHOLD?" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_needs_no_database(tmp_path: Path) -> None:
    done = flask(tmp_path, "mlpipe", "check", "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_only_a_command_is_a_command() -> None:
    assert not cli.loads_the_app()
    with cli.commands.make_context("run", ["check"]):
        assert not cli.loads_the_app()
    with cli.commands.make_context("mlpipe", ["check"]):
        assert cli.loads_the_app()


# Tables ---------------------------------------------------------------------------------------------------------


def test_tables_of_another_release_are_refused(app: Flask, settings: Settings) -> None:
    db.require_tables(settings)
    revision = db.database.text("UPDATE alembic_version SET version_num = '0000'")
    with db.transaction() as connection:
        connection.execute(revision)
    with pytest.raises(errors.StoreUnavailable, match="is at migration 0000; mlpipe needs migration 0"):
        db.require_tables(settings)


def test_an_empty_database_is_refused(empty_database: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=empty_database or f"sqlite:///{tmp_path / 'empty.db'}")
    (tmp_path / "empty.db").touch()
    with trained.opened(settings), pytest.raises(errors.StoreUnavailable, match="has no tables"):
        db.require_tables(settings)


def test_a_database_that_does_not_answer_is_told_in_one_line(tmp_path: Path) -> None:
    done = flask(tmp_path, "mlpipe", "check", MLPIPE_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The database did not take this: ")
    assert done.stderr.count("\n") == 1


# Check ----------------------------------------------------------------------------------------------------------


def test_check_runs_one_and_shows_its_columns(
    trained_app: Flask, served: FlaskClient, rng: np.random.Generator
) -> None:
    ask(served, 200, rng, shift=3)
    done = command(trained_app, "check")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0].startswith("drift: ")
    assert lines[1].split()[:3] == ["column", "PSI", "corrected"]
    assert {line.split()[0] for line in lines[2:6]} == {"f0", "f1", "f2", "prediction"}
    assert served.get("/drift").json["verdict"] == "drift"
    assert served.get("/retraining/jobs").json["items"][0]["state"] == "queued"


def test_check_prints_the_report_for_machines(
    trained_app: Flask, served: FlaskClient, rng: np.random.Generator
) -> None:
    ask(served, 100, rng)
    assert json.loads(command(trained_app, "check", "--json").output) == served.get("/drift").json


# Backtest -------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(trained_app: Flask, served: FlaskClient, rng: np.random.Generator) -> Flask:
    """An app with a stable check and one that alarmed, by its score alone."""
    trained_app.config["MLPIPE"] = replace(trained_app.config["MLPIPE"], deciding_detectors="ks,chi_square")
    for shift in (0, 3):
        ask(served, 100, rng, shift=shift)
        served.post("/drift/check")
    return trained_app


def test_backtest_says_what_other_settings_would_have_done(watched: Flask) -> None:
    done = command(watched, "backtest", "--threshold", "9.5")
    assert done.exit_code == 0
    head, row, said = done.output.splitlines()
    assert head.split() == ["at", "version", "rows", "verdict", "score", "then"]
    assert row.split()[1:4] == ["1", "200", "stable"]
    assert row.split()[5] == "drift"
    assert said == (
        "2 checks, 0 alarms, 0 retrainings asked for; really 2, 1 and 1. The replay differs from what happened."
    )


def test_backtest_of_unchanged_settings_is_what_happened(watched: Flask) -> None:
    assert command(watched, "backtest").output.endswith(
        "2 checks, 1 alarms, 1 retrainings asked for; really 2, 1 and 1. The replay is what happened.\n"
    )


def test_backtest_for_machines_is_the_answer_of_the_api(watched: Flask, served: FlaskClient) -> None:
    since = served.get("/drift").json["checked_at"]
    done = command(watched, "backtest", "--json", "--since", since, "--n-bins", "5", "--alpha", "0.01")
    assert (
        json.loads(done.output)
        == served.post("/drift/backtest", json={"since": since, "n_bins": 5, "alpha": 0.01}).json
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--threshold", "high"), "high must be a number"),
        (("--min-samples", "3"), "3 must be from 10 to 1000000 rows"),
        (("--since", "yesterday"), "is not a time"),
        (("--until", "2026-01-31"), "has no zone"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(app: Flask, arguments: tuple[str, ...], said: str) -> None:
    done = command(app, "backtest", *arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_settings_that_do_not_go_together_are_refused(app: Flask) -> None:
    done = command(app, "backtest", "--min-samples", "500", "--window-size", "100")
    assert done.exit_code == 1
    assert "no window could ever be tested" in done.output
    assert done.output.count("\n") == 1
