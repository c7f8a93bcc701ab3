"""Errors that a caller can act on.

Each class carries a stable ``code`` and the figures that explain it; ``web`` alone knows which HTTP status
a code becomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

MAX_LISTED = 20
"""Violations that an error lists; the rest is only counted (docs: HTTP contract)."""

MAX_QUOTED = 80
"""Characters of a client's own text that an error repeats."""


def quoted(value: object) -> str:
    """Return a client's value as text that is safe to repeat in a message.

    Examples
    --------
    >>> quoted("a" * 200)[-4:]
    "...'"
    """
    text = repr(value)
    if len(text) <= MAX_QUOTED:
        return text
    return text[: MAX_QUOTED - 4] + "..." + text[0]


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule at one place of a body.

    Parameters
    ----------
    pointer : str
        JSON pointer (RFC 6901) into the body, for example ``/features/3/1``.
    code : str
        Stable name of the rule, for example ``not_a_number``.
    detail : str
        What was found, what was expected, what to do.
    """

    pointer: str
    code: str
    detail: str


class MlpipeError(Exception):
    """Root of all errors that mlpipe raises on purpose.

    Parameters
    ----------
    detail : str
        What happened, what was expected, what to do next.
    figures
        Values that explain the error; they become members of the problem document.
    """

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Something is wrong"

    def __init__(self, detail: str, **figures: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.figures = figures


class MalformedBody(MlpipeError):
    """The body is not JSON, or not UTF-8."""

    code = "malformed_body"
    title = "The body cannot be read"


class UnsupportedMediaType(MlpipeError):
    """The content type is not one that the path reads."""

    code = "unsupported_media_type"
    title = "This content type is not read here"


class BodyTooLarge(MlpipeError):
    """The body has more bytes than ``max_body_bytes``."""

    code = "body_too_large"
    title = "The body is too large"


class TooManyRows(MlpipeError):
    """The body holds more rows than ``max_rows``."""

    code = "too_many_rows"
    title = "Too many rows in one request"


class SchemaViolation(MlpipeError):
    """The body is well-formed, but breaks rules of the schema or of the message.

    Parameters
    ----------
    detail : str
        The whole in one sentence.
    violations : sequence of Violation
        The first of them, at most `MAX_LISTED` are kept.
    total : int, optional
        How many there are; default is the length of `violations`.
    """

    code = "schema_violation"
    title = "The body does not fit the schema"

    def __init__(self, detail: str, violations: Sequence[Violation], *, total: int | None = None) -> None:
        super().__init__(detail)
        self.violations = tuple(violations[:MAX_LISTED])
        self.total = len(violations) if total is None else total


class BatchConflict(MlpipeError):
    """A batch id came again with other content."""

    code = "batch_conflict"
    title = "This batch id is taken"


class NotFound(MlpipeError):
    """The named thing is not there."""

    code = "not_found"
    title = "Not found"


class Forbidden(MlpipeError):
    """The caller is known, but may not do this."""

    code = "forbidden"
    title = "Not allowed"


class Unauthorized(MlpipeError):
    """The caller is not local and shows no valid token."""

    code = "unauthorized"
    title = "A token is needed"


class InvalidQuery(MlpipeError):
    """A query parameter has a value that cannot be used."""

    code = "invalid_query"
    title = "A query parameter is wrong"


class NoActiveModel(MlpipeError):
    """No model serves yet."""

    code = "no_active_model"
    title = "There is no model yet"


class DeployConflict(MlpipeError):
    """The version serves already, or another deploy won."""

    code = "deploy_conflict"
    title = "Another version was deployed meanwhile"


class DeployFailed(MlpipeError):
    """A worker cannot serve the version, or was not ready in time; what served goes on serving."""

    code = "deploy_failed"
    title = "The version was not deployed"


class VersionPruned(MlpipeError):
    """The files of the version were removed."""

    code = "version_pruned"
    title = "The files of this version were pruned"


class JobConflict(MlpipeError):
    """The job is not in a state that allows this."""

    code = "job_conflict"
    title = "The job cannot do this now"


class IncidentConflict(MlpipeError):
    """The incident is not in a state that allows this."""

    code = "incident_conflict"
    title = "The incident is over"


class TooFewSamples(MlpipeError):
    """There are not enough rows for what was asked."""

    code = "too_few_samples"
    title = "Not enough rows yet"


class TooManyChecks(MlpipeError):
    """A replay would hold more checks than one request may ask for."""

    code = "too_many_checks"
    title = "Too many checks to replay in one request"


class NotComparable(MlpipeError):
    """Champion and challenger answer different questions."""

    code = "not_comparable"
    title = "These two models cannot be compared"


class ArtifactCorrupt(MlpipeError):
    """A model file is missing, altered, or of other library versions."""

    code = "artifact_corrupt"
    title = "A model file cannot be trusted"


class FitFailed(MlpipeError):
    """The training process ended without a model."""

    code = "fit_failed"
    title = "Training failed"


class LabelLeak(MlpipeError):
    """A column of the rows to train on is the label."""

    code = "label_leak"
    title = "A column is the label"


class StoreUnavailable(MlpipeError):
    """The database does not answer or cannot take a write."""

    code = "store_unavailable"
    title = "The database cannot be used now"


class WriteConflict(StoreUnavailable):
    """Another writer took the same place at the same moment; the same call will find it taken and succeed."""


class InvalidSetting(MlpipeError):
    """A setting is unknown, of the wrong type or out of its range."""

    code = "invalid_setting"
    title = "A setting is wrong"
