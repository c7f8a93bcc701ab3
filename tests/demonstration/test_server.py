"""A server that cannot start says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from demonstration import errors, server


def test_server_that_cannot_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    settings = server.settings_for(tmp_path, 100) | {"MLPIPE_ALPHA": "much"}
    with pytest.raises(errors.DemoFailed, match=r"(?s)ended with code.*MLPIPE_ALPHA='much': must be a number"):
        server.Server(tmp_path, settings).start()
