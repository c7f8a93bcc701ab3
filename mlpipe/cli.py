"""``flask mlpipe ...``: each command is parsed, makes one service call, and prints.

A command never leads and never migrates: it works beside a server, or while there is none.
"""

from __future__ import annotations

from typing import Any

import click
import orjson
from flask.cli import AppGroup

from mlpipe import db, errors, web
from mlpipe.drift import routes as drift

SERVER = "run"
"""``flask run`` is a server, so it gets what gunicorn gets."""


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


def _print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print rows under their heads, each column as wide as it needs."""
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
