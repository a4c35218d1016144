"""Owns the refusals: the HTTP status and sentence of each code, and the problem documents.

RequestRefused            a request that gets no result document
  RequestTimedOut         408: the body did not arrive in time
  Unauthenticated         401, with WWW-Authenticate
  Forbidden               403: `field` is `scope` or `channel`
  RateLimited             429, with Retry-After: the credential's own limit
  BodyTooLarge            413
  UnsupportedMediaType    415
  TooManyRequests         429, with Retry-After
  Shed                    429, with Retry-After: the command's partition has more to do than it can answer in time
  KafkaUnavailable        503, with Retry-After
  ViewNotReady            503, with Retry-After
  ResultTimeout           504: what became of the command is not known, asking again with the same key is safe
  ViewBehind              504: the availability view did not reach `min_seq` in time
  ViewTooOld              503, with Retry-After: it has been behind for longer than `max_lag_ms`

Every answer of 400 and above is a problem document (RFC 9457) with the extension members `code`, `field`, `problem` and
`result`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from schemas.codes import Code, Problem

MEDIA_TYPE = b"application/problem+json"
# The `Link` header of every problem (RFC 8288): its `type` is a name, not an address that could be opened.
HELP_LINK = b'</docs>; rel="help"'


class GatewayCode(StrEnum):
    """The gateway's own codes: the ledger did not get the request, or its result did not arrive."""

    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    WRONG_HOST = "wrong_host"
    RATE_LIMITED = "rate_limited"
    UNKNOWN_COMMAND = "unknown_command"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    POSITION_GONE = "position_gone"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    TOO_MANY_REQUESTS = "too_many_requests"
    INTERNAL_ERROR = "internal_error"
    KAFKA_UNAVAILABLE = "kafka_unavailable"
    STOPPING = "stopping"
    VIEW_NOT_READY = "view_not_ready"
    RESULT_TIMEOUT = "result_timeout"
    VIEW_BEHIND = "view_behind"


AnyCode = Code | GatewayCode


class Refusal(NamedTuple):
    """A code's HTTP status, and the sentence for `detail` when there is no better one."""

    status: int
    text: str


REFUSALS: dict[AnyCode, Refusal] = {
    Code.MALFORMED: Refusal(400, "The body is not a JSON object."),
    Code.INVALID_FIELD: Refusal(422, "A field is missing, unknown, of the wrong type or out of range."),
    # The gateway chooses the partition: this code means that its partition count is wrong, which no caller can correct.
    Code.WRONG_PARTITION: Refusal(
        500, "The gateway's HOLDFAST_PARTITIONS is not the cluster's partition count; its operator has to correct it."
    ),
    Code.IDEMPOTENCY_MISMATCH: Refusal(422, "This Idempotency-Key was used for another command; use a new key."),
    Code.STALE_VERSION: Refusal(409, "A greater version is in force: read it, and set a greater one still."),
    Code.UNKNOWN_SKU: Refusal(404, "No stock row has this SKU: adjust its stock first."),
    Code.UNKNOWN_WAREHOUSE: Refusal(404, "The SKU has no stock row in this warehouse."),
    Code.UNKNOWN_RESERVATION: Refusal(404, "The SKU has no such reservation."),
    Code.UNKNOWN_INBOUND: Refusal(404, "The SKU has no announced goods with this id."),
    Code.RESERVATION_EXISTS: Refusal(409, "The SKU already has a reservation with this id; use another id."),
    Code.INBOUND_EXISTS: Refusal(409, "The SKU already has announced goods with this id; use another id."),
    Code.RESERVATION_COMMITTED: Refusal(409, "The reservation has ended: it was committed."),
    Code.RESERVATION_RELEASED: Refusal(409, "The reservation has ended: it was released."),
    Code.RESERVATION_EXPIRED: Refusal(409, "The reservation has ended: it has expired."),
    Code.INBOUND_CLOSED: Refusal(409, "No more of these goods is announced; adjust in what comes later."),
    Code.CHANNEL_NOT_ALLOWED: Refusal(409, "The channel may not sell this, or not from this warehouse."),
    Code.WAREHOUSE_DISABLED: Refusal(409, "The warehouse is disabled."),
    Code.QUANTITY_ABOVE_LIMIT: Refusal(409, "The quantity is more than one reservation of the channel may have."),
    Code.QUANTITY_EXCEEDS_RESERVATION: Refusal(
        409, "More than the reservation still holds; or, of a return, more than it committed less what came back."
    ),
    Code.RESERVATION_WAITING: Refusal(409, "So many units of the reservation are not there yet: they wait."),
    Code.CHANNEL_CAP_EXCEEDED: Refusal(409, "The channel would hold more units of the SKU than its cap."),
    Code.LIMIT_EXCEEDED: Refusal(
        409,
        "A bucket of stock would hold more than 2^53 - 1 units, or the SKU would have more than 100 policies, more than"
        " 100 deliveries announced, more than 1,000 channels with holds under a cap, or more than 256 kinds of waiting"
        " reservations.",
    ),
    Code.STALE_COUNT: Refusal(409, "A count of that time or a later one has been accepted for the row already."),
    Code.AS_OF_TOO_OLD: Refusal(409, "The warehouse's journal does not reach back to as_of_at."),
    Code.STALE_EXPECTATION: Refusal(409, "on_hand differs from expected_on_hand: read the stock and decide again."),
    Code.DRIFT_ABOVE_TOLERANCE: Refusal(
        409, "The count differs from the ledger by more than the tolerance: look at it, and send it with a wider one."
    ),
    Code.NEGATIVE_STOCK: Refusal(409, "A quantity would fall below 0."),
    Code.INSUFFICIENT_STOCK: Refusal(409, "Less is available than requested."),
    GatewayCode.UNAUTHENTICATED: Refusal(
        401, "The request needs `Authorization: Bearer ...` with a key or token that holds."
    ),
    GatewayCode.FORBIDDEN: Refusal(403, "The credential lacks a scope or a channel, or the page is of another site."),
    GatewayCode.WRONG_HOST: Refusal(421, "This gateway does not serve that Host; HOLDFAST_HOSTS lists others."),
    GatewayCode.RATE_LIMITED: Refusal(429, "The credential makes too many requests; try again later."),
    GatewayCode.UNKNOWN_COMMAND: Refusal(404, "No such command is remembered for the SKU."),
    GatewayCode.NOT_FOUND: Refusal(404, "There is no such route; /docs lists them."),
    GatewayCode.METHOD_NOT_ALLOWED: Refusal(405, "The route does not take this method; /docs lists them."),
    GatewayCode.REQUEST_TIMEOUT: Refusal(408, "The body did not arrive in time. Nothing was sent; try again."),
    GatewayCode.POSITION_GONE: Refusal(
        410, "The log does not hold what the cursor names any more; begin again without a cursor."
    ),
    GatewayCode.BODY_TOO_LARGE: Refusal(413, "The body is too large."),
    GatewayCode.UNSUPPORTED_MEDIA_TYPE: Refusal(
        415, "The body must be application/json in UTF-8, and its Content-Encoding nothing but identity."
    ),
    GatewayCode.TOO_MANY_REQUESTS: Refusal(
        429, "Too many requests are waiting for their results; try again a little later."
    ),
    GatewayCode.INTERNAL_ERROR: Refusal(500, "The gateway failed; its log says why."),
    GatewayCode.KAFKA_UNAVAILABLE: Refusal(
        503, "Kafka cannot be reached. Try again later; with the same key that is safe."
    ),
    GatewayCode.STOPPING: Refusal(
        503, "The gateway is stopping. Try again; for a command with the same key, which is safe."
    ),
    GatewayCode.VIEW_NOT_READY: Refusal(503, "The availability view is not complete yet; try again a little later."),
    GatewayCode.RESULT_TIMEOUT: Refusal(
        504, "The result did not come in time. Try again with the same key: that is safe."
    ),
    GatewayCode.VIEW_BEHIND: Refusal(
        503, "The availability view has been behind for longer than max_lag_ms, or did not reach min_seq in time (504)."
    ),
}


# What is said instead when the request changes nothing: it has no key, and asking again is always safe.
_OF_A_READ: dict[AnyCode, str] = {
    GatewayCode.KAFKA_UNAVAILABLE: "Kafka cannot be reached; ask again a little later.",
    GatewayCode.STOPPING: "The gateway is stopping; ask again.",
    GatewayCode.RESULT_TIMEOUT: "The answer did not come in time; ask again.",
}


def check_refusals(refusals: Mapping[AnyCode, Refusal]) -> None:
    """Check that every code has a status and a sentence.

    Raises:
        RuntimeError: names the codes that have none.
    """
    missing = [f"{type(code).__name__}.{code.name}" for code in (*Code, *GatewayCode) if code not in refusals]
    if missing:
        raise RuntimeError(f"gateway/problems.py: REFUSALS has no status and sentence for {', '.join(missing)}")


check_refusals(REFUSALS)

# `view_behind` when a caller waited for `min_seq`.
NOT_REACHED_STATUS = 504


PartitionStateName = Literal["open", "recovering", "stopped", "no_owner", "unknown"]


class LogProgress(msgspec.Struct, gc=False):
    """How far the reading of a log is, in records."""

    done: int
    total: int


class ProblemDocument(msgspec.Struct, kw_only=True):
    """A problem document (RFC 9457).

    `field` is set with `invalid_field`, and `problem` beside it where it is known, as in results; `result` when the
    ledger gave one. With `result_timeout`, `partition_state` says who serves the partition, and `progress` how far its
    recovery is.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    partition_state: PartitionStateName | UnsetType = UNSET
    progress: LogProgress | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode


def problem_body(
    code: AnyCode,
    *,
    detail: str | None = None,
    field: str | None = None,
    problem: Problem | None = None,
    result: bytes | None = None,
    status: int | None = None,
) -> bytes:
    """Return the problem document of a code as JSON.

    Args:
        code: the reason; it determines status, title and the default detail.
        detail: what was wrong with this very request.
        field: the path of the wrong field.
        problem: what is wrong with it.
        result: the ledger's result, unchanged, JSON.
        status: the HTTP status, where a code has another one than usual.
    """
    return _encode(
        ProblemDocument(
            type=f"urn:holdfast:problem:{code}",
            title=code.replace("_", " ").capitalize(),
            status=status or REFUSALS[code].status,
            detail=detail or REFUSALS[code].text,
            code=code,
            field=UNSET if field is None else field,
            problem=UNSET if problem is None else problem,
            result=UNSET if result is None else Raw(result),
        )
    )


class RequestRefused(Exception):
    """A request is answered without a result of the ledger.

    Args:
        code: the reason.
        detail: what was wrong with this very request; the code's own sentence when None.
        field: the path of the wrong field.
        problem: what is wrong with it.
        command_id: the idempotency key with which the caller may try again.
        reason: what the log says of it, and the caller is not told: it may name brokers.
    """

    headers: tuple[tuple[bytes, bytes], ...] = ()
    retry_after_s: int | None = None  # where it is known better than by the gateway's setting

    def __init__(
        self,
        code: AnyCode,
        *,
        detail: str | None = None,
        field: str | None = None,
        problem: Problem | None = None,
        command_id: str | None = None,
        reason: str | None = None,
    ) -> None:
        self.code = code
        self.detail = detail
        self.field = field
        self.problem = problem
        self.command_id = command_id
        self.reason = reason
        super().__init__(f"{code}: {detail or REFUSALS[code].text}")

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return REFUSALS[self.code].status

    def body(self, *, of_a_read: bool = False) -> bytes:
        """Return the problem document as JSON; `of_a_read` says whether the request changes nothing."""
        detail = self.detail
        if of_a_read and detail is None:
            detail = _OF_A_READ.get(self.code)
        return problem_body(self.code, detail=detail, field=self.field, problem=self.problem, status=self.status)


class RequestTimedOut(RequestRefused):
    """The body did not arrive in time."""

    def __init__(self) -> None:
        super().__init__(GatewayCode.REQUEST_TIMEOUT)


class UnsupportedMediaType(RequestRefused):
    """The body is not JSON, or packed."""

    def __init__(self) -> None:
        super().__init__(GatewayCode.UNSUPPORTED_MEDIA_TYPE)


class BodyTooLarge(RequestRefused):
    """The body is longer than the route allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            GatewayCode.BODY_TOO_LARGE, detail=f"The body is too large: at most {limit} bytes are allowed."
        )


class Unauthenticated(RequestRefused):
    """The request has no credential, or none that holds."""

    headers = ((b"www-authenticate", b"Bearer"),)

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(GatewayCode.UNAUTHENTICATED, detail=detail)


class Forbidden(RequestRefused):
    """The credential lacks a scope or a channel, which `field` says."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(GatewayCode.FORBIDDEN, detail=detail, field=field)


class RateLimited(RequestRefused):
    """The credential makes more requests than it may, has more streams, or more requests that wait."""

    def __init__(self, detail: str, retry_after_s: int, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(GatewayCode.RATE_LIMITED, detail=detail)
        self.headers = headers
        self.retry_after_s = retry_after_s


class TooManyRequests(RequestRefused):
    """The limit of waiting requests is reached."""

    def __init__(self, limit: int, *, command_id: str | None = None) -> None:
        detail = f"{limit} requests are waiting, which is the limit; try again a little later."
        super().__init__(GatewayCode.TOO_MANY_REQUESTS, detail=detail, command_id=command_id)


class Shed(RequestRefused):
    """The command's partition has more to do than it can answer in time; the command was not sent."""

    def __init__(self, *, command_id: str | None = None) -> None:
        detail = "The partition of this SKU has more to do than it can answer in time; try again a little later."
        super().__init__(GatewayCode.TOO_MANY_REQUESTS, detail=detail, command_id=command_id)


class KafkaUnavailable(RequestRefused):
    """Kafka cannot be reached, or does not take the command."""

    def __init__(self, reason: str, *, command_id: str | None = None) -> None:
        super().__init__(GatewayCode.KAFKA_UNAVAILABLE, command_id=command_id, reason=reason)


class Stopping(RequestRefused):
    """The gateway stops: a command that was sent may be applied or not."""

    def __init__(self, *, command_id: str | None = None) -> None:
        super().__init__(GatewayCode.STOPPING, command_id=command_id)


class ViewNotReady(RequestRefused):
    """The availability view is not complete yet: so many records were read, and about so many are to be read."""

    def __init__(self, read: int = 0, of: int = 0) -> None:
        detail = f"The availability view is still being read: {read:,} of {of:,} records; try again a little later."
        super().__init__(GatewayCode.VIEW_NOT_READY, detail=detail if of else None)


class ResultTimeout(RequestRefused):
    """No result came in time: the command may be applied or not.

    Args:
        command_id: the command.
        partition_state: who serves its partition; None when the command is not known to have a partition.
        progress: how far the partition's recovery is.
    """

    def __init__(
        self,
        *,
        command_id: str,
        partition_state: PartitionStateName | None = None,
        progress: LogProgress | None = None,
    ) -> None:
        super().__init__(GatewayCode.RESULT_TIMEOUT, command_id=command_id)
        self._partition_state = partition_state
        self._progress = progress

    def body(self, **how: bool) -> bytes:
        """Return the problem document as JSON, with what is known of the partition."""
        document = msgspec.json.decode(super().body(**how), type=ProblemDocument)
        if self._partition_state is not None:
            document.partition_state = self._partition_state
        if self._progress is not None:
            document.progress = self._progress
        return _encode(document)


class ViewBehind(RequestRefused):
    """The view did not reach the requested sequence number."""

    def __init__(self, min_seq: int, seq: int) -> None:
        detail = f"The availability view has the SKU's sequence number {seq} and did not reach {min_seq} in time."
        super().__init__(GatewayCode.VIEW_BEHIND, detail=detail)

    @property
    def status(self) -> int:
        """Return the HTTP status: the caller waited in vain."""
        return NOT_REACHED_STATUS


class ViewTooOld(RequestRefused):
    """The view has been behind for longer than the caller allows."""

    def __init__(self, lag_ms: int, max_lag_ms: int) -> None:
        detail = f"The availability view has been behind for {lag_ms} ms, and max_lag_ms is {max_lag_ms}."
        super().__init__(GatewayCode.VIEW_BEHIND, detail=detail)
