"""Which callers a canary answers [pure]."""

from __future__ import annotations

import hashlib

HASH_BYTES = 8
"""Bytes of the hash that are read: shares are kept to one part in 2^64."""


def chosen(key: str, version: int, share: float) -> bool:
    """Say whether a key belongs to the share of a version; the same key always gets the same answer.

    Parameters
    ----------
    key : str
        Id of an entity, or of a request.
    version : int
        Salts the hash, so that the next canary does not meet the same callers again.
    share : float
        From 0 (nobody) to 1 (everybody); a larger share holds every key of a smaller one.

    Notes
    -----
    BLAKE2b, about 1 us: Python's own `hash` of a text differs from process to process.

    Examples
    --------
    >>> chosen("meter 7", 3, 1.0), chosen("meter 7", 3, 0.0)
    (True, False)
    >>> 80 < sum(chosen(f"meter {n}", 3, 0.1) for n in range(1000)) < 120
    True
    """
    digest = hashlib.blake2b(f"{version}:{key}".encode(), digest_size=HASH_BYTES).digest()
    return int.from_bytes(digest, "big") < share * 2.0 ** (8 * HASH_BYTES)
