"""What can go wrong in the demo."""

from __future__ import annotations


class DemoFailed(Exception):
    """What went wrong, in a sentence for the person who started the demo."""
