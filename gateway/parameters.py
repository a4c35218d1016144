"""Owns the parameters of the routes in path, query string and headers, with their OpenAPI descriptions."""

from typing import Any, Literal, NamedTuple

from gateway.backorders import MOST_WAITING
from gateway.recent_changes import MOST_RECENT, USUAL_RECENT
from gateway.rules import MOST_LISTED
from gateway.skus import MOST_SKUS
from gateway.streams.limits import MOST_STREAMED
from schemas.fields import (
    CHANNEL_OR_ALL_PATTERN,
    IDENTIFIER_PATTERN,
    MAX_QUANTITY,
    MAX_TIME_MS,
    PLACE_PATTERN,
    SKU_PATTERN,
)
from schemas.stock_changes import MAX_SEQ

Schema = dict[str, Any]
Where = Literal["path", "query", "header"]

STRING: Schema = {"type": "string"}
IDENTIFIER: Schema = {"type": "string", "pattern": IDENTIFIER_PATTERN}
_PLACE: Schema = {"type": "string", "pattern": PLACE_PATTERN}
_CHANNEL: Schema = {"type": "string", "pattern": CHANNEL_OR_ALL_PATTERN}
_SKU: Schema = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": SKU_PATTERN}


class Parameter(NamedTuple):
    """One parameter of a route.

    `field` is the command's field, where its name differs: `id` in a path is `command_id` or `reservation_id`.
    """

    name: str
    where: Where
    schema: Schema
    description: str
    required: bool = False
    field: str | None = None

    def described(self) -> Schema:
        """Return the parameter as OpenAPI describes it."""
        return {
            "name": self.name,
            "in": self.where,
            "schema": self.schema,
            "description": self.description,
            "required": self.required,
        }


IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    IDENTIFIER,
    "The command's id. The same key and content again gets the first result again, with `replayed: true`. Made and "
    "returned in the same header when absent.",
    field="command_id",
)
BULK_KEY = Parameter(
    "Idempotency-Key",
    "header",
    IDENTIFIER,
    "Names the commands that have no `command_id`: KEY.0, KEY.1 and so on; then it has at most 58 characters. The same "
    "list again under the same key is the same commands. Made and returned in the same header when absent.",
)
PREFER = Parameter("Prefer", "header", STRING, "`respond-async`: answered 202 as soon as Kafka has the command.")
RESERVATION_ID = Parameter("id", "path", IDENTIFIER, "The reservation's id.", required=True, field="reservation_id")
INBOUND_ID = Parameter("id", "path", IDENTIFIER, "The id of announced goods.", required=True, field="inbound_id")
COMMAND_ID = Parameter("id", "path", IDENTIFIER, "The command's id.", required=True)
SKU = Parameter("sku", "query", _SKU, "The SKU.", required=True)
SKUS = Parameter(
    "sku", "query", {"type": "array", "items": _SKU, "minItems": 1}, "A SKU; may be repeated.", required=True
)
CHANNEL = Parameter("channel", "query", _PLACE, "Answer what this channel may have.")
SELLING_CHANNEL = Parameter("channel", "query", _PLACE, "Which channel asks.", required=True)
WANTED = Parameter(
    "quantity", "query", {"type": "integer", "minimum": 1, "maximum": MAX_QUANTITY}, "How many units.", required=True
)
BY = Parameter(
    "by",
    "query",
    {"type": "integer", "minimum": 0, "maximum": MAX_TIME_MS},
    "The last date that counts (ms since the Unix epoch); any when absent.",
)
POLICY_CHANNEL = Parameter("channel", "query", _PLACE, "Also answer the policy that this channel has for the SKU.")
WAITING_LIMIT = Parameter(
    "limit",
    "query",
    {"type": "integer", "minimum": 1, "maximum": MOST_WAITING, "default": MOST_WAITING},
    f"How many to list at most; {MOST_WAITING} when absent.",
)
MOST_RESERVATIONS = 100  # that one query lists
RESERVATIONS = Parameter(
    "reservations",
    "query",
    {"type": "integer", "minimum": 1, "maximum": MOST_RESERVATIONS},
    "Also list so many of the SKU's open reservations, by id; the answer's `next` is null at the end.",
)
AFTER = Parameter(
    "after", "query", IDENTIFIER, "With `reservations`: those whose id is greater, as `next` of the last answer says."
)
WAREHOUSE_ID = Parameter("id", "path", _PLACE, "The warehouse.", required=True, field="warehouse")
CHANNEL_ID = Parameter("id", "path", _CHANNEL, "The channel; `*` (as `%2A`): all.", required=True, field="channel")
PAGE_LIMIT = Parameter(
    "limit",
    "query",
    {"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": MOST_LISTED},
    f"How many to list at most; {MOST_LISTED} when absent.",
)
PREFIX = Parameter("prefix", "query", {"type": "string", "maxLength": 64}, "Only SKUs that begin so; all when absent.")
IN_WAREHOUSE = Parameter("warehouse", "query", _PLACE, "Only SKUs with a stock row there.")
SHORTFALL = Parameter(
    "shortfall",
    "query",
    {"type": "boolean", "default": False},
    "`true`: only SKUs with a row (with `warehouse`: that one) where more is reserved than on hand.",
)
SKUS_LIMIT = Parameter(
    "limit",
    "query",
    {"type": "integer", "minimum": 1, "maximum": MOST_SKUS, "default": MOST_SKUS},
    f"How many to list at most; {MOST_SKUS:,} when absent.",
)
RECENT_LIMIT = Parameter(
    "limit",
    "query",
    {"type": "integer", "minimum": 1, "maximum": MOST_RECENT, "default": USUAL_RECENT},
    f"How many to list at most; {USUAL_RECENT} when absent.",
)
MAX_LAG_MS = Parameter(
    "max_lag_ms",
    "query",
    {"type": "integer", "minimum": 0, "maximum": MAX_SEQ},
    "Refuse to answer (503) from a view that has been behind for longer.",
)
IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", STRING, "`ETag` of an earlier answer: 304 when it would be the same again."
)
CURSOR = Parameter("cursor", "query", STRING, "`next` of the last answer: list those that come after it.")
MAX_WAIT_MS = 30_000
WAIT_MS = Parameter(
    "wait_ms",
    "query",
    {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_MS, "default": 0},
    "How long to wait (ms) for a command that is not in the log yet; then 404. Not at all when absent.",
)
MIN_SEQ = Parameter(
    "min_seq",
    "query",
    {"type": "integer", "minimum": 0, "maximum": MAX_SEQ},
    "With one SKU: wait until the view has the change of this sequence number.",
)
FILES_VERSION = Parameter("version", "path", STRING, "The hash of all files, as the page names it.", required=True)
FILE = Parameter("file", "path", STRING, "The file's name.", required=True)
STREAMED_SKUS = Parameter(
    "sku",
    "query",
    {"type": "array", "items": _SKU, "maxItems": MOST_STREAMED},
    f"Only events of this SKU; may be repeated, up to {MOST_STREAMED}. All when absent.",
)
STREAMED_WAREHOUSE = Parameter(
    "warehouse", "query", _PLACE, "Only changes in this warehouse, and those of a SKU's book."
)
STREAMED_CHANNEL = Parameter(
    "channel",
    "query",
    _PLACE,
    "Only changes in warehouses that the channel's policies let it sell the SKU from, and those of a SKU's book; only "
    "results of the channel's reservations.",
)
LAST_EVENT_ID = Parameter(
    "Last-Event-ID",
    "header",
    STRING,
    "The id of the last event seen, of a stream with the same filter on any gateway: the stream goes on after "
    "it. Without the header the stream begins now.",
)
STRICT = Parameter("strict", "query", {"type": "boolean", "default": False}, "Answer 503 also while `degraded`.")
