"""The administrator's token: made at the first start, readable by the owner alone."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from pathlib import Path

from mlpipe import errors

FILE = "admin_token"
SHORTEST = 16
"""Characters under which a token file is damaged or guessable."""


def ensure_token(home: Path) -> str:
    """Return the token of the home folder; the first caller makes it, mode 0600.

    Raises
    ------
    errors.InvalidSetting
        The file is there but holds no token.

    Notes
    -----
    Written beside and linked into place, so that workers that start at once agree on one token.
    """
    path = home / FILE
    if not path.exists():
        draft = home / f".{FILE}.{os.getpid()}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another worker was faster: its token counts
            os.link(draft, path)
        draft.unlink()
    token = path.read_text().strip()
    if len(token) < SHORTEST:
        raise errors.InvalidSetting(f"{path} holds no token; delete the file, and the next start makes a new one.")
    return token


def is_token(shown: str, token: str) -> bool:
    """Compare a shown token with the right one in constant time; an empty one is never right."""
    return bool(token) and hmac.compare_digest(shown.encode(), token.encode())
