"""The administrator's token: made at the first start, readable by the owner alone."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

FILE = "admin_token"


def ensure_token(home: Path) -> str:
    """Return the token of the home folder; the first caller makes it, mode 0600.

    Notes
    -----
    Written beside and linked into place, so that workers that start at once agree on one token.
    """
    path = home / FILE
    if not path.exists():
        draft = home / f".{FILE}.{os.getpid()}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        try:
            os.link(draft, path)
        except FileExistsError:
            return path.read_text().strip()
        finally:
            draft.unlink()
    return path.read_text().strip()


def is_token(shown: str, token: str) -> bool:
    """Compare a shown token with the right one in constant time."""
    return hmac.compare_digest(shown.encode(), token.encode())
