"""Every setting: type, unit, range, default and the reason for it.

`load` reads a mapping (the environment, handed in by ``config``) and refuses what is unknown or wrong, naming every
variable at fault at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from apscheduler.triggers.cron import CronTrigger

from mlpipe import errors, webhooks
from mlpipe.webhooks import Webhook

PREFIX = "MLPIPE_"
WORKERS_VARIABLE = "WEB_CONCURRENCY"
SHORTEST_SECRET = 16
"""Characters under which the key of a signature can be guessed."""

MAX_SEGMENT_COLUMNS = 3
"""Each splits all rows once more, so a check costs as much again for each."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting may be, and why it is what it is."""

    reason: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


def _setting(default: Any, reason: str, *, secret: bool = False, **rule: Any) -> Any:
    return dataclasses.field(default=default, repr=not secret, metadata={"rule": Rule(reason, **rule)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process; see ``docs/settings.md`` for the list in words."""

    home: Path = _setting(Path(), "Holds mlpipe.db, models/, logs/ and admin_token: all that a run leaves behind.")
    database_url: str = _setting("", "Empty means SQLite in the home folder; postgresql://user@host/name for a team.")
    bind: str = _setting(
        "127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8050",
        "Addresses to listen on, separated by commas. Loopback alone, so that a laptop shares nothing by accident.",
    )
    workers: int = _setting(
        1,
        "Worker processes of gunicorn (variable WEB_CONCURRENCY). One is enough for a laptop.",
        low=1,
        high=64,
    )
    threads: int = _setting(
        4,
        "Threads a worker: a slow client occupies one. More of them slow a busy worker down.",
        low=1,
        high=64,
    )
    pin_workers: bool = _setting(
        True,
        "Keep each worker to a processor core of its own; without it its threads hand the interpreter from core to "
        "core, which costs a third of the rate. Off where other programs are bound to the same cores.",
    )
    auth: str = _setting(
        "local",
        "local: callers from this machine need no token; always: everybody needs one (behind a proxy).",
        choices=("local", "always"),
    )
    model_name: str = _setting("mlpipe", "The model's name in answers and on pages.")

    threshold: float = _setting(
        0.05,
        "Drift score from which a feature counts as moved: about 0.22 standard deviations.",
        low=0.0,
        high=10.0,
    )
    alpha: float = _setting(0.001, "False alarms a check, over all features and windows.", low=1e-9, high=0.5)
    window_size: int = _setting(
        1000, "Newest predicted rows that a check looks at.", unit="rows", low=20, high=1_000_000
    )
    min_samples: int = _setting(
        100,
        "New rows without which no check is made: testing the same rows again is the same draw.",
        unit="rows",
        low=10,
        high=1_000_000,
    )
    check_interval: float = _setting(300.0, "Time between two drift checks.", unit="seconds", low=1.0, high=86_400.0)
    n_bins: int = _setting(10, "Cells of a numeric feature for PSI and chi-square.", low=2, high=100)
    segments: str = _setting(
        "",
        "Columns that split the drift report, at most 3 names separated by commas: drift and quality are told for each "
        "of their values. None by default: only you know which parts of your traffic must not be averaged away.",
    )
    deciding_detectors: str = _setting(
        "ks,chi_square,relations",
        "Detectors whose evidence makes a verdict, separated by commas; docs/drift.md lists them. All others are "
        "computed and shown. Each costs the others a little power.",
    )
    reference_size: int = _setting(
        0,
        "Newest training rows that the traffic is compared with; 0 means 10 x window_size.",
        unit="rows",
        low=0,
        high=10_000_000,
    )
    quality_drop: float = _setting(
        0.02, "Rise of the share of wrong answers from which a drop of quality alarms.", low=0.0, high=1.0
    )
    quality_rise: float = _setting(
        0.1,
        "Rise of the mean absolute error, as a share of what it was, from which a drop of quality alarms.",
        low=0.0,
        high=100.0,
    )

    n_estimators: int = _setting(100, "Trees of the forest.", low=1, high=10_000)
    max_depth: int = _setting(10, "Deepest level of a tree; keeps files small and answers fast.", low=1, high=64)
    random_state: int = _setting(42, "Seed of the fit, so that it can be repeated.", low=0, high=2**32 - 1)
    min_labelled: int = _setting(
        100,
        "Labelled rows from which the first model is trained.",
        unit="rows",
        low=20,
        high=10_000_000,
    )
    quiet_s: float = _setting(
        2.0,
        "Quiet time of ingestion before the first model is trained, so that it sees the first upload whole.",
        unit="seconds",
        low=0.0,
        high=3600.0,
    )
    min_new_labels: int = _setting(
        500,
        "New labelled rows without which a retraining waits: old rows cannot teach what has changed.",
        unit="rows",
        low=1,
        high=10_000_000,
    )
    max_age_rows: int = _setting(
        0,
        "New labelled rows after which a model is retrained because of its age; 0 means 2 x window_size. A plain "
        "schedule beats drift alone (78.2 % against 74.3 % on elec2), so there is always one. Half as much made "
        "forests of 2,000 rows 0.8 points better there, for half as much work again. Rolling forests are never old.",
        unit="rows",
        low=0,
        high=10_000_000,
    )
    max_age_s: float = _setting(
        0.0,
        "Time after which a model is retrained because of its age; 0 means never. Off, because rows age a model, not "
        "nights without any.",
        unit="seconds",
        low=0.0,
        high=315_360_000.0,
    )
    retrain_every_labels: int = _setting(
        0,
        "New labelled rows after which a retraining is asked for whatever the monitor says; 0 means never. Off: age "
        "does it already, and back-off applies to that.",
        unit="rows",
        low=0,
        high=10_000_000,
    )
    retrain_cron: str = _setting(
        "",
        "Times at which a retraining is asked for, a cron expression of five fields in UTC, such as 0 3 * * mon "
        "(Mondays at three); empty means never, because rows say better than the calendar when a model is old.",
    )
    retrain_cooldown_s: float = _setting(
        1.0,
        "Pause after a retraining before the next one begins. Small, because new labels say when a model is worth "
        "training, not the clock; it only keeps one that ends at once from being tried in a circle.",
        unit="seconds",
        low=0.0,
        high=604_800.0,
    )
    retrain_budget: int = _setting(
        288,
        "Most retrainings within 24 hours; 0 means no limit. One for each drift check of a day as it is by default: "
        "more than that is a fault of something.",
        low=0,
        high=100_000,
    )
    retrain_useless: int = _setting(
        3,
        "Retrainings in a row that did not help, after which they back off. Two may be bad luck on a few hundred rows.",
        low=1,
        high=100,
    )
    retrain_backoff_s: float = _setting(
        7200.0,
        "First pause after useless retrainings; each further one doubles it. With two hours a drift that cannot be "
        "learned costs six trainings on its first day, and one or two on each later one.",
        unit="seconds",
        low=1.0,
        high=604_800.0,
    )
    training_window: int = _setting(
        10_000, "Newest labelled rows that a model is trained on.", unit="rows", low=50, high=10_000_000
    )
    holdout_share: float = _setting(
        0.2,
        "Newest share of the window on which champion and challenger are compared.",
        low=0.05,
        high=0.5,
    )
    holdout_max: int = _setting(
        500,
        "Most rows of the holdout. With 500 a model 5 points worse is told from its equal; more of them keep what is "
        "newest from the challenger.",
        unit="rows",
        low=20,
        high=1_000_000,
    )
    window_policy: str = _setting(
        "newest",
        "Which of those rows a model is trained on. newest: all of them; weighted: all, with a half-life; time: those "
        "of the last window_age_s; since_drift: those since the last drift began; auto: the best of 1,000, 3,000 and "
        "10,000 (half-life 2,000) on the newest 500. auto is the better one on streams that move and costs three more "
        "fits a training.",
        choices=("auto", "newest", "time", "weighted", "since_drift"),
    )
    window_age_s: float = _setting(
        2_592_000.0, "Age of the oldest row under window_policy time.", unit="seconds", low=1.0, high=315_360_000.0
    )
    window_half_life: int = _setting(
        2000,
        "Rows after which a row counts half under window_policy weighted.",
        unit="rows",
        low=10,
        high=10_000_000,
    )
    label_maturity_s: float = _setting(
        0.0,
        "Age from which the labels of a time count as complete; younger rows are not trained on. 0, since only you "
        "know whether one class is known sooner than the other (a payment comes before its default).",
        unit="seconds",
        low=0.0,
        high=315_360_000.0,
    )
    suspicious_data: str = _setting(
        "refuse",
        "What to do about new rows that look wrong (labels that nothing predicts, copies, columns that stand still) "
        "and about a column that is the label: refuse to train on them, or allow it and only say so.",
        choices=("refuse", "allow"),
    )
    model_kind: str = _setting(
        "rolling_forest",
        "rolling_forest, auto, forest, hist_gradient_boosting, logistic, or your own module:function that returns a "
        "scikit-learn estimator or pipeline (docs/retraining.md). A rolling forest was better than a forest that is "
        "refitted every 1,000 rows on elec2, sea_stream and employment_ma, for half the work.",
    )
    class_weight: str = _setting(
        "none",
        "balanced: rare classes count more in the fit. None by default, because weights spoil the probabilities: they "
        "then say how likely a class were if all were as common.",
        choices=("none", "balanced"),
    )
    search_s: float = _setting(
        0.0,
        "Time that a training may spend on comparing a few settings of the model; 0 compares none.",
        unit="seconds",
        low=0.0,
        high=86_400.0,
    )
    gate: str = _setting(
        "auto",
        "What is asked of a challenger. improve: proof that it is better; no_harm: that it is not proven worse; point: "
        "the better score; auto: no_harm after drift, a drop of quality or age, otherwise improve.",
        choices=("auto", "improve", "no_harm", "point"),
    )
    gate_loss: str = _setting(
        "brier",
        "Loss by which classifiers are compared. The Brier score is bounded; with log_loss one row that was given "
        "probability 0 may decide.",
        choices=("brier", "log_loss"),
    )
    gate_error: str = _setting(
        "absolute",
        "Error by which regressors are compared; squared lets large errors decide.",
        choices=("absolute", "squared"),
    )
    fit_timeout_s: float = _setting(
        3600.0, "Longest time that a fit may take.", unit="seconds", low=1.0, high=604_800.0
    )
    fit_memory_mb: int = _setting(
        0, "Most memory of the fit process; 0 means no limit.", unit="MB", low=0, high=10_000_000
    )

    probation_rows: int = _setting(
        1000,
        "Labelled rows on which a new champion is compared with the one before, which scores them in the shadow; 0 "
        "means no probation. Enough to tell a version that is 5 points worse.",
        unit="rows",
        low=0,
        high=1_000_000,
    )
    learn_labels: int = _setting(
        100,
        "New labels that a rolling forest learns at once; with fewer it waits at most learn_interval_s.",
        unit="rows",
        low=1,
        high=100_000,
    )
    learn_interval_s: float = _setting(
        5.0,
        "Longest time that a new label waits until a rolling forest learns it.",
        unit="seconds",
        low=0.1,
        high=3600.0,
    )

    checks_silent_s: float = _setting(
        1200.0,
        "Time without a drift check that ended (one that waits for data has) from which that is an incident; 0 means "
        "never. Four intervals of check_interval as it is by default, and never less than four.",
        unit="seconds",
        low=0.0,
        high=31_536_000.0,
    )
    predictions_silent_s: float = _setting(
        0.0,
        "Time without a prediction from which that is an incident; 0 means never. Off, because only you know whether "
        "a night without requests is one: a service that is always asked may take 600.",
        unit="seconds",
        low=0.0,
        high=31_536_000.0,
    )
    labels_silent_s: float = _setting(
        0.0,
        "Time that predictions may wait without any label coming in, from which that is an incident; 0 means never. "
        "Off, because labels take minutes in one trade and months in another; twice your usual delay is a good value.",
        unit="seconds",
        low=0.0,
        high=31_536_000.0,
    )
    model_max_age_s: float = _setting(
        0.0,
        "Time since the training of the version that serves, from which its age is an incident; 0 means never. Off, "
        "because an old model whose traffic has not moved is no fault; where a rule wants one a month, 2592000.",
        unit="seconds",
        low=0.0,
        high=315_360_000.0,
    )
    webhook_urls: str = _setting(
        "",
        "Addresses that are told when an incident opens and when it is over, separated by commas, at most 10; empty "
        "means nobody is told. Slack's incoming webhooks read the messages.",
        secret=True,
    )
    webhook_secret: str = _setting(
        "",
        "Key of the messages' signatures (HMAC-SHA256), at least 16 characters; empty means unsigned. Never shown.",
        secret=True,
    )
    webhook_allow_private: bool = _setting(
        False,
        "Admit addresses of this machine and of private networks. Off, so that a mistake does not make the server call "
        "its own network.",
    )
    webhook_timeout_s: float = _setting(
        5.0,
        "Longest time of one try, from connecting to the answer's status.",
        unit="seconds",
        low=0.1,
        high=30.0,
    )

    mlflow_tracking_uri: str = _setting(
        "",
        "MLflow server that every version is registered with, http:// or https://, as in "
        "http://mlflow.example:5000; user:password@ before the host are sent as they are. Private addresses are "
        "admitted: an MLflow usually stands in the same network. Empty means none.",
        secret=True,
    )
    mlflow_token: str = _setting(
        "", "Bearer token for MLflow, instead of user and password; empty means none. Never shown.", secret=True
    )
    mlflow_timeout_s: float = _setting(
        10.0,
        "Longest silence of MLflow within one request; it then is tried again later. No deploy waits for it.",
        unit="seconds",
        low=0.1,
        high=60.0,
    )

    reload_interval_s: float = _setting(
        1.0, "How often a worker looks for a new version.", unit="seconds", low=0.05, high=60.0
    )
    deploy: str = _setting(
        "auto",
        "auto: a retraining that passes the gate is deployed; propose: a person approves it first; freeze: nothing "
        "changes what serves but a person. POST /models/freeze does the last at run time.",
        choices=("auto", "propose", "freeze"),
    )
    deploy_wait_s: float = _setting(
        30.0,
        "How long a deploy waits, beyond reload_interval_s, until every worker has loaded and tried the version; then "
        "it is given up and the old one stays. A worker that died is not waited for.",
        unit="seconds",
        low=0.1,
        high=600.0,
    )
    keep_versions: int = _setting(
        20,
        "Newest versions whose files are kept. Older ones keep their rows; what serves, may be gone back to, is "
        "proposed or has an alias keeps its files too.",
        unit="versions",
        low=1,
        high=1_000_000,
    )
    lease_s: float = _setting(
        5.0, "How long a silent leader or job holder keeps its lease.", unit="seconds", low=1.0, high=600.0
    )
    max_body_bytes: int = _setting(16 * 1024 * 1024, "Largest body of a request.", unit="bytes", low=1024, high=2**31)
    max_rows: int = _setting(
        100_000, "Most rows in one request; send more as NDJSON.", unit="rows", low=1, high=10_000_000
    )
    prediction_log_durability: str = _setting(
        "process",
        "process: a logged prediction survives kill -9; power: a power cut too (one fsync a request).",
        choices=("process", "power"),
    )
    log_level: str = _setting("info", "Least level that is written.", choices=("debug", "info", "warning", "error"))
    log_json: bool = _setting(False, "Write log lines as JSON.")

    @property
    def reference_rows(self) -> int:
        """Rows of the drift reference, `reference_size` or ten windows."""
        return self.reference_size or 10 * self.window_size

    @property
    def deploy_limit_s(self) -> float:
        """Longest time of a deploy, in seconds: a worker may look only every `reload_interval_s`."""
        return self.reload_interval_s + self.deploy_wait_s

    @property
    def max_age_labels(self) -> int:
        """New labelled rows that make a model old, `max_age_rows` or two windows."""
        return self.max_age_rows or 2 * self.window_size

    @property
    def checks_silent_limit_s(self) -> float:
        """Seconds without a check that are an incident, at least four intervals; 0 means never."""
        return max(self.checks_silent_s, 4 * self.check_interval) if self.checks_silent_s else 0.0

    @property
    def webhooks(self) -> tuple[webhooks.Webhook, ...]:
        """The addresses of `webhook_urls`, one by one."""
        return webhooks.parse_all(self.webhook_urls)

    @property
    def mlflow(self) -> Webhook | None:
        """The address of `mlflow_tracking_uri`, or None where none is named."""
        return webhooks.parse(self.mlflow_tracking_uri) if self.mlflow_tracking_uri else None

    @property
    def models_folder(self) -> Path:
        """Where the versions' folders are."""
        return self.home / "models"

    @property
    def logs_folder(self) -> Path:
        """Where the log files are."""
        return self.home / "logs"

    @property
    def binds(self) -> list[str]:
        """The addresses of `bind`, one by one."""
        return _parts(self.bind)

    @property
    def segment_columns(self) -> tuple[str, ...]:
        """The columns of `segments`, one by one."""
        return tuple(_parts(self.segments))

    @property
    def deciding(self) -> tuple[str, ...]:
        """The names of `deciding_detectors`, one by one."""
        return tuple(_parts(self.deciding_detectors))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def variable(name: str) -> str:
    """Return the environment variable of a setting.

    Examples
    --------
    >>> variable("window_size"), variable("workers")
    ('MLPIPE_WINDOW_SIZE', 'WEB_CONCURRENCY')
    """
    return WORKERS_VARIABLE if name == "workers" else PREFIX + name.upper()


def rules() -> dict[str, Rule]:
    """Return the rule of every setting, by name, in the order of the documentation."""
    return {field.name: field.metadata["rule"] for field in dataclasses.fields(Settings)}


def load(environment: Mapping[str, str], *, home: Path) -> Settings:
    """Read the settings from a mapping of environment variables.

    Parameters
    ----------
    environment : mapping of str to str
        Usually ``os.environ``.
    home : Path
        The home folder where ``MLPIPE_HOME`` is not set.

    Raises
    ------
    errors.InvalidSetting
        With one line for every variable that is unknown, of the wrong type or out of range.

    Examples
    --------
    >>> load({"MLPIPE_WINDOW_SIZE": "500"}, home=Path("/tmp")).window_size
    500
    """
    names = {variable(name): name for name in rules()}
    values: dict[str, Any] = {"home": home}
    faults = [_unknown(key, names) for key in environment if key.startswith(PREFIX) and key not in names]
    for key, name in names.items():
        if key not in environment:
            continue
        try:
            values[name] = read(name, environment[key])
        except ValueError as fault:
            faults.append(f"{key}={environment[key]!r}: {fault}")
    if faults:
        raise errors.InvalidSetting("\n".join(faults))
    return _checked_together(dataclasses.replace(Settings(**values), home=Path(values["home"]).resolve()))


def read(name: str, text: str) -> Any:
    """Return the value of one setting from its text.

    Raises
    ------
    ValueError
        It is of the wrong type or out of range; says what it must be.

    Examples
    --------
    >>> read("threshold", "0.1")
    0.1
    """
    value = _read(text, get_type_hints(Settings)[name])
    _check_range(value, rules()[name])
    return value


def altered(settings: Settings, **values: Any) -> Settings:
    """Return the settings with some values changed, each of them from `read`.

    Raises
    ------
    errors.InvalidSetting
        The values do not go together.
    """
    return _checked_together(dataclasses.replace(settings, **values))


def _unknown(key: str, names: Mapping[str, str]) -> str:
    near = [WORKERS_VARIABLE] if key == PREFIX + "WORKERS" else difflib.get_close_matches(key, names, n=1, cutoff=0.8)
    hint = f" Did you mean {near[0]}?" if near else " docs/settings.md lists all."
    return f"{key} is not a setting of mlpipe.{hint}"


def _read(text: str, kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        kind = get_args(kind)[0]
    if kind is bool:
        return _read_bool(text)
    try:
        return kind(text)
    except ValueError:
        words = {int: "a whole number", float: "a number"}
        raise ValueError(f"must be {words.get(kind, kind.__name__)}") from None


def _read_bool(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in known:
        raise ValueError("must be true or false")
    return known[text.lower()]


def _check_range(value: Any, rule: Rule) -> None:
    if rule.choices and value not in rule.choices:
        raise ValueError(f"must be one of {', '.join(rule.choices)}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low = -float("inf") if rule.low is None else rule.low
        high = float("inf") if rule.high is None else rule.high
        if not low <= value <= high:
            raise ValueError(f"must be from {rule.low} to {rule.high} {rule.unit}".rstrip())


def _checked_together(settings: Settings) -> Settings:
    if settings.min_samples > settings.window_size:
        raise errors.InvalidSetting(
            f"MLPIPE_MIN_SAMPLES ({settings.min_samples}) is above MLPIPE_WINDOW_SIZE ({settings.window_size}): "
            "no window could ever be tested. Lower the first or raise the second."
        )
    if not settings.binds:
        raise errors.InvalidSetting("MLPIPE_BIND is empty: mlpipe would listen on nothing. Name host:port.")
    if not settings.model_name.strip():
        raise errors.InvalidSetting("MLPIPE_MODEL_NAME is empty; give the model a name.")
    _check_webhooks(settings)
    _check_cron(settings.retrain_cron)
    _check_model_kind(settings.model_kind)
    _check_mlflow(settings)
    columns = settings.segment_columns
    if len(set(columns)) > MAX_SEGMENT_COLUMNS or len(set(columns)) < len(columns):
        raise errors.InvalidSetting(
            f"MLPIPE_SEGMENTS={settings.segments!r}: name at most {MAX_SEGMENT_COLUMNS} columns, each once."
        )
    url = settings.database_url
    if url and not url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        raise errors.InvalidSetting(
            "MLPIPE_DATABASE_URL must begin with sqlite:/// or postgresql:// (not shown: it may hold a password)"
        )
    return settings


def _check_cron(expression: str) -> None:
    if not expression:
        return
    try:
        CronTrigger.from_crontab(expression, timezone="UTC")
        if any(mark.isdigit() for mark in expression.rsplit(maxsplit=1)[-1]):
            raise ValueError("programs count the days of the week differently, so name them: mon to sun")
    except ValueError as fault:
        raise errors.InvalidSetting(
            f"MLPIPE_RETRAIN_CRON={expression!r}: {fault}. Expected minute, hour, day, month and day of the week, such "
            "as 0 3 * * mon."
        ) from None


MODEL_KINDS = ("forest", "hist_gradient_boosting", "logistic", "rolling_forest", "auto")
"""The kinds of mlpipe/retraining/kinds, which lies above this file (a test holds them together), and two that are more
than an estimator."""


def _check_model_kind(name: str) -> None:
    module, _, function = name.partition(":")
    own = function.isidentifier() and all(part.isidentifier() for part in module.split("."))
    if name not in MODEL_KINDS and not own:
        raise errors.InvalidSetting(
            f"MLPIPE_MODEL_KIND={name!r}: must be one of {', '.join(MODEL_KINDS)}, or module:function."
        )


def _check_webhooks(settings: Settings) -> None:
    try:
        webhooks.parse_all(settings.webhook_urls)
    except ValueError as fault:
        raise errors.InvalidSetting(
            f"MLPIPE_WEBHOOK_URLS: {fault} (not shown: an address may be a secret). Expected addresses such as "
            "https://host/path, separated by commas."
        ) from None
    n = len(settings.webhook_secret)
    if 0 < n < SHORTEST_SECRET or not settings.webhook_secret.isprintable():
        raise errors.InvalidSetting(
            f"MLPIPE_WEBHOOK_SECRET has {n} characters; expected at least {SHORTEST_SECRET}, all printable, or none."
        )


def _check_mlflow(settings: Settings) -> None:
    try:
        address = settings.mlflow
        if address is not None and "?" in address.target:
            raise ValueError("has a query, which the address of a server cannot have")
    except ValueError as fault:
        raise errors.InvalidSetting(
            f"MLPIPE_MLFLOW_TRACKING_URI: the address {fault} (not shown: it may hold a password). Expected one such "
            "as http://mlflow.example:5000."
        ) from None
    if address is not None and set(settings.model_name) & set("/:@"):
        raise errors.InvalidSetting(
            f"MLPIPE_MODEL_NAME={settings.model_name!r} has a /, : or @, which MLflow takes in no name of a model. "
            "Choose another, or leave MLPIPE_MLFLOW_TRACKING_URI empty."
        )
    token = settings.mlflow_token
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise errors.InvalidSetting("MLPIPE_MLFLOW_TOKEN has a space or a character that no header may have.")
