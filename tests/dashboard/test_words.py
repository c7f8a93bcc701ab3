from __future__ import annotations

import re

import pytest

from mlpipe.dashboard import words
from tests.server import CHECKOUT

DOCUMENTED = re.findall(
    r"`([a-z_]+)`",
    (CHECKOUT / "docs" / "glossary.md").read_text().split("### Ledger\n")[1].split("\n### ")[0],
)


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_every_kind_of_the_ledger_has_a_badge_whose_shape_is_there(kind: str) -> None:
    assert kind in words.BADGES
    shapes = re.findall(r'<symbol id="i-([a-z]+)"', (CHECKOUT / "templates" / "base.html").read_text())
    assert words.badge(kind)[1] in shapes
