"""kill -9 while a version learns: every label counts once, and the state is that of an undisturbed run."""

from __future__ import annotations

import numpy as np
import pytest

from tests.flow import killed_learner
from tests.server import Server

KILLS = 6


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_killed_learner_ends_where_an_undisturbed_one_does(server: Server, rng: np.random.Generator) -> None:
    learned = killed_learner.killed_while_learning(server, rng, kills=KILLS)
    rebuilt, whole, held = killed_learner.states(server)
    assert learned > 500
    assert held == 0
    assert rebuilt == whole
