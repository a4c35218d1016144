"""Owns the codes of refused commands, in order of precedence, and the problems of a field."""

from enum import StrEnum


class Code(StrEnum):
    """Why a command was rejected. The order is part of the contract: the first code that applies is given."""

    MALFORMED = "malformed"
    INVALID_FIELD = "invalid_field"
    WRONG_PARTITION = "wrong_partition"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    STALE_VERSION = "stale_version"
    UNKNOWN_SKU = "unknown_sku"
    UNKNOWN_WAREHOUSE = "unknown_warehouse"
    UNKNOWN_RESERVATION = "unknown_reservation"
    UNKNOWN_INBOUND = "unknown_inbound"
    RESERVATION_EXISTS = "reservation_exists"
    INBOUND_EXISTS = "inbound_exists"
    RESERVATION_COMMITTED = "reservation_committed"
    RESERVATION_RELEASED = "reservation_released"
    RESERVATION_EXPIRED = "reservation_expired"
    INBOUND_CLOSED = "inbound_closed"
    CHANNEL_NOT_ALLOWED = "channel_not_allowed"
    WAREHOUSE_DISABLED = "warehouse_disabled"
    QUANTITY_ABOVE_LIMIT = "quantity_above_limit"
    QUANTITY_EXCEEDS_RESERVATION = "quantity_exceeds_reservation"
    RESERVATION_WAITING = "reservation_waiting"
    CHANNEL_CAP_EXCEEDED = "channel_cap_exceeded"
    LIMIT_EXCEEDED = "limit_exceeded"
    STALE_COUNT = "stale_count"
    AS_OF_TOO_OLD = "as_of_too_old"
    STALE_EXPECTATION = "stale_expectation"
    DRIFT_ABOVE_TOLERANCE = "drift_above_tolerance"
    NEGATIVE_STOCK = "negative_stock"
    INSUFFICIENT_STOCK = "insufficient_stock"


class Problem(StrEnum):
    """What is wrong with the field that `invalid_field` names; docs/semantics.md says when each applies."""

    MISSING = "missing"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    TOO_LONG = "too_long"
    BAD_CHARACTERS = "bad_characters"
    NOT_ALLOWED = "not_allowed"


# A command refused with one of these is not remembered: sent again, it is decided again.
NOT_REMEMBERED = frozenset(
    {Code.MALFORMED, Code.INVALID_FIELD, Code.WRONG_PARTITION, Code.IDEMPOTENCY_MISMATCH, Code.STALE_VERSION}
)
