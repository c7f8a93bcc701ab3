"""What gunicorn serves: ``gunicorn wsgi:app``; and what ``flask mlpipe ...`` works with."""

from __future__ import annotations

import sys

import config
from mlpipe import cli, errors
from mlpipe.app import serve, work_for_a_command

BOOT_ERROR = 3
"""Exit code by which gunicorn sees that it need not try again."""

start = work_for_a_command if cli.loads_the_app() else serve
try:
    app = start(config.load())
except (errors.MlpipeError, OSError) as fault:
    print(f"mlpipe cannot start: {fault}", file=sys.stderr)  # noqa: T201  there is no log yet
    sys.exit(BOOT_ERROR)
