"""Short words for tests of the schema room."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mlpipe import errors
from mlpipe.schema.contract import Column, Schema, Target

ROWS = 10_000


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def schema(*columns: Column, target: Target | None = None, status: Any = "draft") -> Schema:
    return Schema(version=1, columns=columns, target=target or Target(), status=status)


def numeric(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, kind="numeric") for name in names)


def refused(call: Callable[[], Any]) -> errors.SchemaViolation:
    with pytest.raises(errors.SchemaViolation) as caught:
        call()
    return caught.value


def fault_of(call: Callable[[], Any]) -> errors.MlpipeError | None:
    """Return what a call raises on purpose; anything else passes through."""
    try:
        call()
    except errors.MlpipeError as fault:
        return fault
    return None


def places(fault: errors.SchemaViolation) -> list[tuple[str, str]]:
    return [(violation.pointer, violation.code) for violation in fault.violations]
