"""Where the settings come from: the environment, and nothing else reads it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mlpipe import errors, settings

CHECKOUT = Path(__file__).resolve().parent


def load() -> settings.Settings:
    """Return the settings of this process; the home folder is the checkout unless ``MLPIPE_HOME`` says otherwise.

    Raises
    ------
    SystemExit
        With a line for every variable that is unknown or wrong.
    """
    try:
        return settings.load(os.environ, home=CHECKOUT)
    except errors.InvalidSetting as fault:
        sys.exit(f"mlpipe cannot start:\n{fault.detail}")
