"""What gunicorn serves: ``gunicorn wsgi:app``."""

from __future__ import annotations

import sys

import config
from mlpipe import errors
from mlpipe.app import serve

BOOT_ERROR = 3
"""Exit code by which gunicorn sees that it need not try again."""

try:
    app = serve(config.load())
except (errors.MlpipeError, OSError) as fault:
    print(f"mlpipe cannot start: {fault}", file=sys.stderr)  # noqa: T201  there is no log yet
    sys.exit(BOOT_ERROR)
