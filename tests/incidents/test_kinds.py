from __future__ import annotations

import re

import pytest

from mlpipe.drift import quality, service, silence
from mlpipe.incidents import kinds
from mlpipe.prediction import champion, routing, shadow
from mlpipe.retraining import probations
from mlpipe.settings import Settings
from tests.server import CHECKOUT


def test_every_kind_that_mlpipe_opens_has_a_title() -> None:
    watched = {finding.kind for finding in silence.judge(silence.Facts(now=0, watching_since=0), Settings())}
    routed = {routing.ANSWERS_FAIL, shadow.FAILED, probations.INCIDENT, probations.HELD}
    learns = {kinds.LEARNING, kinds.LABELS_HELD}
    others = {service.INCIDENT, quality.INCIDENT, champion.INCIDENT, kinds.DEPLOY_FAILED, kinds.USELESS}
    assert watched | routed | learns | others == set(kinds.KINDS)


@pytest.mark.parametrize("name", kinds.KINDS)
def test_every_kind_is_documented_with_what_to_do(name: str) -> None:
    page = (CHECKOUT / "docs" / "incidents.md").read_text()
    assert re.search(rf"^\| `{name}` \| .+ \| .+ \| .{{10,}} \|$", page, re.MULTILINE)
