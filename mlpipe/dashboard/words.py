"""Numbers, times and states in words: the same everywhere on the pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

SPACE = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
UNKNOWN = "\N{EM DASH}"
MAX_NAME = 40
"""Characters of a column's or class's name in a sentence."""

BADGES: dict[str, tuple[str, str]] = {
    "stable": ("ok", "ok"),
    "harmless": ("info", "ok"),
    "drift": ("bad", "drift"),
    "waiting_for_data": ("", "wait"),
    "quality_ok": ("ok", "ok"),
    "quality_drop": ("bad", "drift"),
    "incident": ("warn", "bad"),
    "waiting_for_labels": ("warn", "wait"),
    "trigger": ("info", "run"),
    "verdict": ("info", "quiet"),
    "deploy": ("ok", "up"),
    "rollback": ("warn", "back"),
    "propose": ("info", "person"),
    "reject": ("warn", "person"),
    "freeze": ("warn", "hold"),
    "unfreeze": ("ok", "person"),
    "accept": ("info", "person"),
    "failure": ("bad", "bad"),
    "skip": ("", "hold"),
    "probation": ("info", "wait"),
    "route": ("info", "run"),
    "learning": ("info", "up"),
    "alias": ("", "person"),
    "note": ("", "person"),
    "cancel": ("", "person"),
    "prune": ("", "quiet"),
    "schema": ("", "person"),
    "mlflow": ("ok", "up"),
}
"""Kind of a decision -> colour and shape of its badge; any other kind is quiet."""

NAMES = {"mlflow": "MLflow", "skip": "Held up"}
"""Kinds that their own name does not say well."""


def number(value: float) -> str:
    """Return a count with its thousands separated.

    Examples
    --------
    >>> number(164212)
    '164,212'
    """
    return f"{value:,.0f}".replace("-", MINUS)


def plural(n: int, one: str, many: str = "") -> str:
    r"""Return a count and its noun.

    Examples
    --------
    >>> plural(1, "label"), plural(2, "label"), plural(0, "reply", "replies")
    ('1\xa0label', '2\xa0labels', '0\xa0replies')
    """
    return f"{number(n)}{SPACE}{one if n == 1 else many or one + 's'}"


def share(value: float | None) -> str:
    r"""Return a share as a percentage with one decimal.

    Examples
    --------
    >>> share(0.7741), share(0.66), share(None)
    ('77.4\xa0%', '66.0\xa0%', '—')
    """
    return UNKNOWN if value is None else f"{100 * value:.1f}{SPACE}%"


def whole_share(part: int, whole: int) -> str:
    r"""Return a share without decimals; only all is 100 %, only nothing is 0 %.

    Examples
    --------
    >>> whole_share(999, 1000), whole_share(1, 1000), whole_share(1000, 1000), whole_share(0, 0)
    ('99\xa0%', '1\xa0%', '100\xa0%', '—')
    """
    if not whole:
        return UNKNOWN
    percent = 100 * part / whole
    return f"{percent if percent in {0, 100} else min(99, max(1, round(percent))):.0f}{SPACE}%"


def figure(value: float | None, digits: int = 3) -> str:
    """Return a score with fixed decimals.

    Examples
    --------
    >>> figure(0.0123), figure(None)
    ('0.012', '—')
    """
    return UNKNOWN if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def amount(value: float) -> str:
    """Return a measured value with three significant digits.

    Examples
    --------
    >>> amount(0.01234), amount(12345.6), amount(-3)
    ('0.0123', '12,346', '−3')
    """
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", MINUS)


def milliseconds(us: float) -> str:
    r"""Return a duration in microseconds as milliseconds or seconds.

    Examples
    --------
    >>> milliseconds(420), milliseconds(9_100), milliseconds(2_500_000)
    ('0.4\xa0ms', '9.1\xa0ms', '2.5\xa0s')
    """
    if us >= 1_000_000:
        return f"{us / 1e6:.1f}{SPACE}s"
    return f"{us / 1000:.{0 if us >= 99_500 else 1}f}".removesuffix(".0") + f"{SPACE}ms"


def size(n_bytes: float) -> str:
    r"""Return a file size.

    Examples
    --------
    >>> size(2_000), size(412_000_000)
    ('2\xa0kB', '412\xa0MB')
    """
    for unit, one in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= one:
            return f"{n_bytes / one:.{1 if n_bytes < 10 * one else 0}f}{SPACE}{unit}"
    return f"{n_bytes / 1e3:.0f}{SPACE}kB"


def duration(us: float) -> str:
    r"""Return a span of time in its two largest units.

    Examples
    --------
    >>> duration(42e6), duration(12_000e6), duration(300e6)
    ('42\xa0s', '3\xa0h 20\xa0min', '5\xa0min')
    """
    seconds = round(us / 1e6)
    parts = [(seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{n}{SPACE}{unit}" for n, unit in parts[:2] if n) or f"0{SPACE}s"


def instant(us: int) -> datetime:
    """Return microseconds since 1970 as an aware UTC time, cut to the second."""
    return datetime.fromtimestamp(us // 1_000_000, UTC)


def iso(us: int) -> str:
    """Return microseconds since 1970 for the attribute ``datetime``.

    Examples
    --------
    >>> iso(0)
    '1970-01-01T00:00:00Z'
    """
    return instant(us).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(us: int, now_us: int) -> str:
    """Return a time as a person says it: the clock today, else the day before it.

    Examples
    --------
    >>> moment(0, 60_000_000), moment(0, 86_400_000_000), moment(0, 10**16)
    ('00:00', '1 January, 00:00', '1 January 1970, 00:00')
    """
    then, now = instant(us), instant(now_us)
    if then.date() == now.date():
        return f"{then:%H:%M}"
    return f"{then.day} {then:%B}{'' if then.year == now.year else f' {then.year}'}, {then:%H:%M}"


def at(us: int, now_us: int) -> str:
    """Return a time with the word that goes before it.

    Examples
    --------
    >>> at(0, 60_000_000), at(0, 86_400_000_000)
    ('at 00:00', 'on 1 January, 00:00')
    """
    text = moment(us, now_us)
    return f"on {text}" if "," in text else f"at {text}"


def day(us: int) -> str:
    """Return the date and time of a page's head.

    Examples
    --------
    >>> day(0)
    'Thursday 1 January 1970, 00:00'
    """
    then = instant(us)
    return f"{then:%A} {then.day} {then:%B %Y, %H:%M}"


def chance(p: float | None) -> str:
    """Return how often chance alone would do this.

    Examples
    --------
    >>> chance(0.3), chance(0.0004), chance(1e-9), chance(1.0)
    ('1 in 3', '1 in 2,500', 'under 1 in 1,000,000', 'nearly always')
    """
    if p is None:
        return UNKNOWN
    if p < 1e-6:
        return "under 1 in 1,000,000"
    return "nearly always" if p > 0.8 else f"1 in {max(2, round(1 / p)):,}"


def short(name: object) -> str:
    """Return a name that fits into a sentence.

    Examples
    --------
    >>> len(short("x" * 99))
    40
    """
    text = str(name)
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


def class_name(code: float, target: Mapping[str, Any]) -> str:
    """Return a stored label as its owner wrote it.

    Examples
    --------
    >>> class_name(1.0, {"kind": "string", "classes": ["on time", "late"]})
    'late'
    >>> class_name(1.0, {"kind": "boolean"}), class_name(3.0, {"kind": "integer"})
    ('true', '3')
    """
    kind, classes = target.get("kind"), target.get("classes") or ()
    if kind == "string" and 0 <= int(code) < len(classes):
        return short(classes[int(code)])
    if kind == "boolean":
        return "true" if code else "false"
    return f"{code:g}"


def kind_name(kind: str) -> str:
    """Return a stored kind as words.

    Examples
    --------
    >>> kind_name("labels_late"), kind_name("mlflow"), kind_name("skip")
    ('Labels late', 'MLflow', 'Held up')
    """
    if kind in NAMES:
        return NAMES[kind]
    return kind.replace("_", " ").replace(".", " ").capitalize()


def badge(kind: str) -> tuple[str, str]:
    """Return colour and shape for the kind of a decision.

    Examples
    --------
    >>> badge("failure"), badge("something_new")
    (('bad', 'bad'), ('', 'quiet'))
    """
    return BADGES.get(kind, ("", "quiet"))
