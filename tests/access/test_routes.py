from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import errors
from mlpipe.access import service
from mlpipe.app import create_app
from mlpipe.settings import Settings
from tests import threads, trained

STRANGERS: list[Any] = [
    pytest.param({"environ_overrides": {"REMOTE_ADDR": "10.0.0.7"}}, id="peer"),
    pytest.param({"headers": {"Host": "evil.example"}}, id="host"),
    pytest.param({"headers": {"Origin": "https://evil.example"}}, id="origin"),
    pytest.param({"headers": {"Origin": "http://["}}, id="broken_origin"),
    pytest.param({"headers": {"X-Forwarded-For": "10.0.0.7"}}, id="forwarded"),
    pytest.param({"headers": {"X-Real-IP": "127.0.0.1"}}, id="real_ip"),
]
FOREIGN: dict[str, Any] = {"environ_overrides": {"REMOTE_ADDR": "10.0.0.7"}}
OPEN = {"/health", "/health/live", "/health/ready"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def secret(settings: Settings) -> str:
    return (settings.home / service.FILE).read_text().strip()


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_is_refused_and_changes_nothing(client: FlaskClient, stranger: dict[str, Any]) -> None:
    answer = client.post("/ingest/batch", json={"features": [[1]]}, **stranger)
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert answer.json["code"] == "unauthorized"
    assert not any(trained.counts().values())


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_learns_only_how_the_whole_is(client: FlaskClient, stranger: dict[str, Any]) -> None:
    assert client.get("/health", **stranger).json == {"status": "ok"}
    assert client.get("/health/live", **stranger).json == {"status": "ok"}
    assert client.get("/health/ready", **stranger).json == {"status": "not_ready"}
    assert set(client.get("/health").json["components"]) >= {"database", "model", "disk"}


def test_every_other_path_is_closed_to_strangers(app: Flask, client: FlaskClient) -> None:
    for found in app.url_map.iter_rules():
        path = found.rule
        for converter in ("<int:version>", "<int:job_id>", "<batch_id>", "<prediction_id>", "<path:filename>"):
            path = path.replace(converter, "1")
        for method in (found.methods or set()) - {"OPTIONS"}:
            answer = client.open(path, method=method, **FOREIGN)
            assert (answer.status_code == 401) == (path not in OPEN), (method, path, answer.status_code)


@pytest.mark.parametrize("path", ["/nowhere", "/health/", "//health", "/health/../models", "/HEALTH"])
def test_paths_that_look_like_open_ones_are_closed(client: FlaskClient, path: str) -> None:
    assert client.get(path, **FOREIGN).status_code in {401, 404}
    assert "components" not in client.get(path, **FOREIGN).text


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "PUT", "DELETE"])
def test_no_method_opens_a_closed_path(client: FlaskClient, method: str) -> None:
    assert client.open("/models", method=method, **FOREIGN).status_code == 401


def test_a_stranger_with_the_token_passes(client: FlaskClient, settings: Settings) -> None:
    answer = client.post("/ingest/batch", json={"features": [[1]]}, headers=bearer(secret(settings)), **FOREIGN)
    assert answer.status_code == 201
    assert "components" in client.get("/health", headers=bearer(secret(settings)), **FOREIGN).json


@pytest.mark.parametrize("shown", ["", " ", "wrong", "\xff", "x" * 10_000])
def test_a_wrong_token_does_not_pass(client: FlaskClient, shown: str) -> None:
    assert client.get("/models", headers=bearer(shown), **FOREIGN).status_code == 401


def test_a_token_of_another_kind_does_not_pass(client: FlaskClient, settings: Settings) -> None:
    for kind in ("Basic", "Token", ""):
        header = {"Authorization": f"{kind} {secret(settings)}"}
        assert client.get("/models", headers=header, **FOREIGN).status_code == 401
    assert client.get("/models", headers={"Authorization": f"bearer {secret(settings)}"}, **FOREIGN).status_code == 200


def test_always_asks_local_callers_too(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, auth="always")
    client = create_app(settings).test_client()
    assert client.get("/docs").status_code == 401
    assert client.get("/health/live").status_code == 200
    assert client.get("/nowhere", headers=bearer(secret(settings))).status_code == 404


def test_only_the_owner_can_read_the_token(settings: Settings, client: FlaskClient) -> None:
    path = settings.home / service.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(secret(settings)) >= 32
    assert [found.name for found in settings.home.glob(f"*{service.FILE}*")] == [service.FILE]


def test_the_token_stays_from_start_to_start(tmp_path: Path) -> None:
    assert service.ensure_token(tmp_path) == service.ensure_token(tmp_path)


def test_processes_that_start_at_once_agree_on_one_token(tmp_path: Path, app: Flask) -> None:
    home = tmp_path / "fresh"
    home.mkdir()
    tokens = threads.at_once(app, lambda _: service.ensure_token(home), range(16))
    assert len(set(tokens)) == 1
    assert [found.name for found in home.iterdir()] == [service.FILE]


def test_an_empty_token_file_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / service.FILE).touch()
    with pytest.raises(errors.InvalidSetting, match="holds no token"):
        service.ensure_token(tmp_path)
    assert not service.is_token("", "")
