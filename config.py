"""Where the settings come from: the environment, and nothing else reads it."""

from __future__ import annotations

import os
from pathlib import Path

from mlpipe import settings

CHECKOUT = Path(__file__).resolve().parent


def load() -> settings.Settings:
    """Return the settings of this process; the home folder is the checkout unless ``MLPIPE_HOME`` says otherwise."""
    return settings.load(os.environ, home=CHECKOUT)
