"""``flask mlpipe ...``: each command is parsed, makes one service call, and prints.

A command never leads and never migrates: it works beside a server, or while there is none.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import Any

import click
import orjson
from flask.cli import AppGroup

from mlpipe import db, errors, settings, web
from mlpipe.drift import backtest
from mlpipe.drift import routes as drift
from mlpipe.prediction import champion
from mlpipe.registry import artifacts, audit
from mlpipe.retraining import lineage
from mlpipe.schema import backtest as rehearsals
from mlpipe.schema import times

SERVER = "run"
"""``flask run`` is a server, so it gets what gunicorn gets."""


PROGRESS_EVERY = 10
"""Checks between two words of progress."""


def loads_the_app() -> bool:
    """Say whether a command of Flask's command line loads the app, not a server."""
    context = click.get_current_context(silent=True)
    return context is not None and context.info_name != SERVER


class Command(click.Command):
    """A command that needs the database, and says in one line what went wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what mlpipe raises on purpose ends it with code 1 and a sentence."""
        try:
            db.require_tables(web.settings())
            return super().invoke(ctx)
        except errors.MlpipeError as fault:
            raise click.ClickException(" ".join(fault.detail.split())) from fault


class Commands(AppGroup):
    """The group of mlpipe's commands."""

    command_class = Command


commands = Commands("mlpipe", help="Look after mlpipe; works beside a server and without one.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


@commands.command("check")
@as_json
def check(as_json: bool) -> None:
    """Run a drift check now; it starts what a scheduled one would start."""
    report = drift.monitor().check(web.settings())
    if as_json:
        _print_json(report)
        return
    click.echo(f"{report['verdict']}: {report['sentence']}")
    _print_table(
        ("column", "PSI corrected", "adjusted p", "effective rows", "importance"),
        [_feature(result) for result in (*report["features"], report["prediction"]) if result is not None],
    )
    for note in report["notes"]:
        click.echo(f"Note: {note}")


def _feature(feature: dict[str, Any]) -> tuple[str, ...]:
    importance = feature["importance"]
    return (
        feature["name"],
        f"{feature['psi_corrected']:.3f}",
        f"{feature['p_adjusted']:.1g}",
        f"{feature['effective_rows']:,.0f} of {feature['window']:,}",
        "" if importance is None else f"{100 * importance:.0f} %",
    )


def _moment(_context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    moment = None if text is None else times.parse(text)
    if text is not None and moment is None:
        raise click.BadParameter(times.fault(text))
    return moment


def _setting(_context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
    try:
        return None if text is None else settings.read(parameter.name or "", text)
    except ValueError as fault:
        raise click.BadParameter(f"{text} {fault}") from fault


def _rehearsed(function: Callable[..., None]) -> Callable[..., None]:
    """Add an option for every setting that a replay may change."""
    for name in reversed(rehearsals.REHEARSED):
        rule = settings.rules()[name]
        option = click.option(f"--{name.replace('_', '-')}", callback=_setting, metavar="VALUE", help=rule.reason)
        function = option(function)
    return function


@commands.command("backtest")
@click.option("--since", callback=_moment, metavar="TIME", help="First check, such as 2026-01-31T12:00:00Z.")
@click.option("--until", callback=_moment, metavar="TIME", help="Checks before this time.")
@_rehearsed
@as_json
def run_backtest(since: int | None, until: int | None, as_json: bool, **changes: Any) -> None:
    """Replay the logged history under other settings; nothing is written."""
    changed = {name: value for name, value in changes.items() if value is not None}
    wanted = rehearsals.Rehearsal(since=since, until=until, changes=changed)
    told = backtest.run(web.settings(), wanted, tell=_progress)
    if as_json:
        _print_json(told)
        return
    _print_table(
        ("at", "version", "rows", "verdict", "score", "then"),
        [_item(item) for item in told["items"] if _is_news(item)],
    )
    for note in told["notes"]:
        click.echo(f"Note: {note}")
    click.echo(backtest.sentence(told))


@commands.command("reproduce")
@click.argument("version", type=int)
@as_json
def reproduce(version: int, as_json: bool) -> None:
    """Train a version again on its very rows and compare; exit code 1 where anything differs."""
    told = lineage.reproduce(version, web.settings())
    if as_json:
        _print_json(dataclasses.asdict(told))
    else:
        click.echo(told.sentence)
    if not (told.data_equal and told.predictions_equal):
        click.get_current_context().exit(1)


def _progress(done: int, total: int) -> None:
    """Count on one line of a terminal; a file or a pipe gets none of it."""
    if sys.stderr.isatty() and (done % PROGRESS_EVERY == 0 or done == total):
        click.echo(f"\r{done:,} of {total:,} checks", err=True, nl=done == total)


def _is_news(item: dict[str, Any]) -> bool:
    """Say whether a check alarms, alarmed, or ends otherwise than it did."""
    return (
        bool({"drift", "drop"} & {item["verdict"], item["recorded_verdict"]})
        or item["verdict"] != item["recorded_verdict"]
    )


def _item(item: dict[str, Any]) -> tuple[str, ...]:
    score = "" if item["score"] is None else f"{item['score']:.3f}"
    verdict, then = item["verdict"] or "cannot be replayed", item["recorded_verdict"] or "no check"
    return item["at"], str(item["model_version"]), f"{item['rows']:,}", verdict, score, then


@commands.command("verify")
@as_json
def verify(as_json: bool) -> None:
    """Check every version's files against its row, and load the one that serves; code 1 when something is wrong."""
    models = web.settings().models_folder
    n, findings = audit.verify(models, try_on=functools.partial(champion.try_on, models))
    if as_json:
        _print_json({"ok": not findings, "versions": n, "findings": [dataclasses.asdict(one) for one in findings]})
    else:
        _print_table(("version", "what", "detail"), [(str(one.version), one.code, one.detail) for one in findings])
        click.echo(f"{n} versions were checked: {len(findings) or 'no'} {'fault' if len(findings) == 1 else 'faults'}.")
    if findings:
        sys.exit(1)


@commands.command("accept-versions")
@click.argument("version", type=click.IntRange(1))
@as_json
def accept_versions(version: int, as_json: bool) -> None:
    """Let a VERSION be served under the library versions that are here, if it answers as it did."""
    models = web.settings().models_folder
    try_on = functools.partial(champion.try_on, models, accepted=artifacts.libraries())
    sentence = audit.accept(models, version, by="the command line", try_on=try_on)
    if as_json:
        _print_json({"version": version, "sentence": sentence})
    else:
        click.echo(sentence)


def _print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print rows under their heads, each column as wide as it needs."""
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
