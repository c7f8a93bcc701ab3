from __future__ import annotations

import pytest


@pytest.fixture
def database() -> str:
    """Who may pass does not depend on the database."""
    return "sqlite"
