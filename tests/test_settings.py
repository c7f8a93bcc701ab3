from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mlpipe import errors, settings

HOME = Path("/somewhere")


def load(**environment: str) -> settings.Settings:
    return settings.load(environment, home=HOME)


def test_defaults_are_those_of_the_design() -> None:
    found = load()
    assert (found.home, found.database_url, found.workers, found.auth) == (HOME, "", 1, "local")
    assert found.binds == ["127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:8050"]
    assert (found.threshold, found.window_size, found.min_samples, found.check_interval) == (0.05, 1000, 100, 300)
    assert (found.n_estimators, found.max_depth, found.random_state) == (100, 10, 42)
    assert found.max_body_bytes == 16 * 1024 * 1024


def test_every_default_keeps_its_own_rule() -> None:
    names = {settings.variable(name): str(value).lower() for name, value in dataclasses.asdict(load()).items()}
    assert load(**names) == load()


def test_every_setting_has_a_reason() -> None:
    assert all(len(rule.reason) > 10 for rule in settings.rules().values())
    numbers = [field.name for field in dataclasses.fields(settings.Settings) if field.type in {"int", "float"}]
    assert all(settings.rules()[name].low is not None and settings.rules()[name].high is not None for name in numbers)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MLPIPE_WINDOW_SIZE", "many"),
        ("MLPIPE_WINDOW_SIZE", "1.5"),
        ("MLPIPE_WINDOW_SIZE", ""),
        ("MLPIPE_WINDOW_SIZE", "0"),
        ("MLPIPE_THRESHOLD", "nan"),
        ("MLPIPE_THRESHOLD", "-0.1"),
        ("MLPIPE_CHECK_INTERVAL", "inf"),
        ("MLPIPE_CHECK_INTERVAL", "0.5"),
        ("MLPIPE_AUTH", "never"),
        ("MLPIPE_LOG_LEVEL", "INFO"),
        ("MLPIPE_LOG_JSON", "maybe"),
        ("MLPIPE_RANDOM_STATE", "-1"),
        ("MLPIPE_DATABASE_URL", "mysql://x"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "two"),
    ],
)
def test_a_wrong_value_is_refused_and_the_variable_named(name: str, text: str) -> None:
    with pytest.raises(errors.InvalidSetting, match=name):
        load(**{name: text})


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(errors.InvalidSetting) as caught:
        load(MLPIPE_WINDOW_SIZE="x", MLPIPE_ALPHA="7", MLPIPE_TRESHOLD="0.1")
    assert all(name in caught.value.detail for name in ("MLPIPE_WINDOW_SIZE", "MLPIPE_ALPHA", "MLPIPE_TRESHOLD"))


def test_a_typo_is_refused_with_the_name_that_was_meant() -> None:
    with pytest.raises(errors.InvalidSetting, match="Did you mean MLPIPE_THRESHOLD"):
        load(MLPIPE_TRESHOLD="0.1")


def test_variables_of_others_are_passed_over() -> None:
    assert load(PATH="/bin", MLFLOW_TRACKING_URI="x", mlpipe_window_size="1") == load()


def test_a_window_must_hold_the_rows_of_a_check() -> None:
    with pytest.raises(errors.InvalidSetting, match=r"MLPIPE_MIN_SAMPLES \(100\) is above MLPIPE_WINDOW_SIZE \(50\)"):
        load(MLPIPE_WINDOW_SIZE="50")
    assert load(MLPIPE_WINDOW_SIZE="50", MLPIPE_MIN_SAMPLES="50").window_size == 50


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(errors.InvalidSetting) as caught:
        load(MLPIPE_DATABASE_URL="postgres://me:secret@host/db")
    assert "secret" not in caught.value.detail


def test_the_home_folder_is_made_absolute() -> None:
    assert load(MLPIPE_HOME="here").home == Path.cwd() / "here"
    assert load(MLPIPE_HOME="here").models_folder == Path.cwd() / "here" / "models"


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("no", False)])
def test_words_for_yes_and_no(text: str, value: bool) -> None:
    assert load(MLPIPE_LOG_JSON=text).log_json is value


def test_the_reference_is_ten_windows_unless_it_is_set() -> None:
    assert load(MLPIPE_WINDOW_SIZE="500").reference_rows == 5000
    assert load(MLPIPE_REFERENCE_SIZE="700").reference_rows == 700


def test_one_setting_is_read_as_all_are() -> None:
    assert settings.read("min_samples", "50") == 50
    with pytest.raises(ValueError, match="must be from 10 to 1000000 rows"):
        settings.read("min_samples", "9")
    with pytest.raises(ValueError, match="must be a whole number"):
        settings.read("min_samples", "True")


def test_settings_that_are_changed_must_go_together() -> None:
    assert settings.altered(load(), min_samples=50).min_samples == 50
    with pytest.raises(errors.InvalidSetting, match="no window could ever be tested"):
        settings.altered(load(), min_samples=2000)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MLPIPE_WEBHOOK_URLS", "ftp://me:hidden@hooks.example"),
        ("MLPIPE_WEBHOOK_URLS", "https://hooks.example/hidden thing"),
        ("MLPIPE_WEBHOOK_SECRET", "hidden"),
        ("MLPIPE_WEBHOOK_SECRET", "hidden\n but long enough"),
    ],
)
def test_a_wrong_webhook_is_named_and_not_repeated(name: str, text: str) -> None:
    with pytest.raises(errors.InvalidSetting, match=name) as caught:
        load(**{name: text})
    assert "hidden" not in caught.value.detail


def test_secrets_are_not_part_of_what_settings_show() -> None:
    made = load(MLPIPE_WEBHOOK_URLS="https://hooks.example/hidden", MLPIPE_WEBHOOK_SECRET="hidden but long enough")
    assert "hidden" not in repr(made)
    assert [webhook.shown for webhook in made.webhooks] == ["https://hooks.example/..."]


def test_silent_checks_are_at_least_four_intervals_unless_off() -> None:
    assert load().checks_silent_limit_s == 1200
    assert load(MLPIPE_CHECK_INTERVAL="3600").checks_silent_limit_s == 4 * 3600
    assert load(MLPIPE_CHECKS_SILENT_S="0").checks_silent_limit_s == 0


def test_segments_are_columns_of_which_there_are_few() -> None:
    assert load().segment_columns == ()
    assert load(MLPIPE_SEGMENTS=" carrier, origin,").segment_columns == ("carrier", "origin")
    for wrong in ("a,b,c,d", "a,a"):
        with pytest.raises(errors.InvalidSetting, match="name at most 3 columns, each once"):
            load(MLPIPE_SEGMENTS=wrong)
