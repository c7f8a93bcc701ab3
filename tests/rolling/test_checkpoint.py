from __future__ import annotations

import io

import numpy as np
import pytest

from mlpipe.rolling import checkpoint, learning, publish, vote
from tests.rolling.conftest import rows
from tests.rolling.test_learning import same


@pytest.mark.parametrize("kind", ["learned", "regression"])
def test_a_file_without_pickle_gives_the_state_back(kind, request):
    state, file = request.getfixturevalue(kind), io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **checkpoint.pack(state))
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        back = checkpoint.unpack(dict(archive))
    assert back.parameters == state.parameters
    assert same(back, state)


def test_an_unpacked_state_goes_on_as_the_packed_one(learned):
    back, more = checkpoint.unpack(checkpoint.pack(learned)), rows(650, seed=7)
    assert same(learning.learn(back, *more), learning.learn(learned, *more))


def test_an_unpacked_state_collapses_alike(learned):
    back, (X, _) = checkpoint.unpack(checkpoint.pack(learned)), rows(300, seed=4)
    a, b = publish.collapse(learned), publish.collapse(back)
    assert np.array_equal(a.predict_proba(X), b.predict_proba(X))
    assert np.array_equal(vote.scores(back, X), vote.scores(learned, X))
    assert np.array_equal(a.feature_importances_, b.feature_importances_)
