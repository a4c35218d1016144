"""Owns the tables of docs/contract.md: what follows from the types is written by `make docs`, between two markers."""

import json
import re
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, UnsetType

from gateway.compose import made_fields
from gateway.problems import REFUSALS, GatewayCode
from gateway.routes.route import Route
from gateway.routes.table import ROUTES
from schemas.availability import ChannelAvailability, Promise
from schemas.codes import NOT_REMEMBERED, Code, Problem
from schemas.commands import SKU_COMMAND_TYPES, tag_of
from schemas.dead_letters import DeadLetter
from schemas.explain import allowed
from schemas.inbound import InboundView
from schemas.movements import CountedUnits, ReconciliationView
from schemas.reference import REFERENCE_COMMAND_TYPES, Channel, FeedState, SkuPolicy, Warehouse
from schemas.results import Allocation, Claim, ReservationView, Result, StockView, Waiting
from schemas.status import PartitionStatus, TransactionTimes
from schemas.stock_changes import BookInbound, BookView, Cause, ChannelUnits, Quantities, StockChange
from schemas.topics import ABOUT, TOPICS
from tests.examples import EXAMPLES
from tests.tidy import avro_files
from tests.tidy.repository import ROOT, document

PAGE = ROOT / "docs/contract.md"
COMMAND = "make docs"
_SECTION = re.compile(r"(<!-- (\w+):begin -->\n).*?(<!-- \2:end -->)", re.DOTALL)
_DAY_MS = 24 * 60 * 60 * 1000
# With the fields that callers usually give; a command that is not here is shown as its first example.
LINES: dict[str, dict[str, object]] = {
    "adjust": {"command_id": "delivery-88:1", "sku": "85123A", "warehouse": "leeds", "delta": 10, "reason": "receipt"},
    "reserve": {"command_id": "cart-77:reserve:1", "sku": "85123A", "reservation_id": "cart-77", "quantity": 3},
    "commit": {"command_id": "cart-77:commit:1", "sku": "85123A", "reservation_id": "cart-77"},
    "release": {"command_id": "cart-77:release:1", "sku": "85123A", "reservation_id": "cart-77", "quantity": 1},
    "extend": {"command_id": "cart-77:extend:1", "sku": "85123A", "reservation_id": "cart-77", "ttl_ms": 600_000},
    "amend": {"command_id": "cart-77:amend:1", "sku": "85123A", "reservation_id": "cart-77", "quantity": 5},
    "reallocate": {
        "command_id": "cart-77:move:1",
        "sku": "85123A",
        "reservation_id": "cart-77",
        "from": "leeds",
        "to": "york",
    },
    "expect_inbound": {
        "command_id": "po-7:1",
        "sku": "85123A",
        "inbound_id": "po-7",
        "warehouse": "leeds",
        "quantity": 10,
        "eta_at": 1_764_864_000_000,
    },
    "amend_inbound": {"command_id": "po-7:2", "sku": "85123A", "inbound_id": "po-7", "eta_at": 1_767_456_000_000},
    "receive_inbound": {
        "command_id": "po-7:3",
        "sku": "85123A",
        "inbound_id": "po-7",
        "quantity": 8,
        "damaged": 1,
        "final": True,
    },
    "cancel_inbound": {"command_id": "po-7:4", "sku": "85123A", "inbound_id": "po-7", "reason": "supplier"},
    "return": {
        "command_id": "rma-5:1",
        "sku": "85123A",
        "warehouse": "leeds",
        "quantity": 2,
        "disposition": "inspect",
        "reservation_id": "cart-77",
    },
    "move": {
        "command_id": "rma-5:2",
        "sku": "85123A",
        "warehouse": "leeds",
        "quantity": 2,
        "from": "quarantine",
        "to": "on_hand",
    },
    "transfer": {
        "command_id": "t-4:1",
        "sku": "85123A",
        "from": "leeds",
        "to": "york",
        "quantity": 20,
        "inbound_id": "t-4",
        "eta_at": 1_764_864_000_000,
    },
    "reconcile": {
        "command_id": "wms-5:85123A",
        "sku": "85123A",
        "warehouse": "leeds",
        "counted_on_hand": 97,
        "as_of_at": 1_764_000_000_000,
        "tolerance": 2,
    },
    "settle": {"command_id": "settle-1", "sku": "85123A"},
    "set_policy": {"command_id": "rules-7", "sku": "85123A", "channel": "web", "cap": 100, "buffer": 5},
    "set_warehouse": {"command_id": "adm-9", "warehouse": "leeds", "version": 7, "priority": 10, "region": "north"},
    "set_channel": {"command_id": "adm-10", "channel": "web", "version": 3, "warehouses": ["leeds", "york"]},
    "set_feed": {
        "command_id": "wms-5",
        "feed": "wms",
        "version": 1_764_000_000_000,
        "as_of_at": 1_764_000_000_000,
        "interval_ms": 86_400_000,
    },
    "query": {"command_id": "look-1", "sku": "85123A", "reservation_id": "cart-77"},
}
_FIELD_HEADS = ("field", "required", "allowed", "meaning")
_RECORDS: dict[type[msgspec.Struct], str] = {
    Result: "Result",
    ReservationView: "Reservation",
    Allocation: "Allocation",
    StockView: "Stock row",
    StockChange: "Stock change",
    Cause: "Cause",
    Quantities: "Quantities",
    BookView: "Book",
    BookInbound: "Inbound of a book",
    ChannelUnits: "Channel of a book",
    ChannelAvailability: "Availability",
    Promise: "Promise",
    Claim: "Claim",
    InboundView: "Inbound",
    ReconciliationView: "Reconciliation",
    CountedUnits: "Counted units",
    Waiting: "Waiting reservation",
    Warehouse: "Warehouse",
    Channel: "Channel",
    FeedState: "Feed",
    SkuPolicy: "Policy",
    PartitionStatus: "Partition status",
    TransactionTimes: "Transaction times",
}


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def words(hint: Any) -> str:
    """Return what a field may hold; `or null` and `or absent` where that is so."""
    arms = get_args(hint) if get_origin(hint) not in {None, Annotated, Literal, list, dict} else (hint,)
    ends = {type(None): ", or null", UnsetType: ", or absent"}
    plain = " or ".join(_plain_words(arm) for arm in arms if arm not in ends)
    return plain + "".join(end for kind, end in ends.items() if kind in arms)


def _plain_words(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        base, *metas = get_args(hint)
        limits = [limit for meta in metas for limit in (meta.ge, meta.min_length, meta.max_length)]
        if not any(limit is not None for limit in limits):
            return words(base) if get_args(base) and get_origin(base) is not list else _plain_words(base)
    if hint in _RECORDS:
        return f"[{_RECORDS[hint]}](#{_anchor(_RECORDS[hint])})"
    if hint is Code:
        return "a [code](#codes)"
    if hint is Problem:
        return f"one of {', '.join(Problem)}"
    if hint is bytes:
        return "bytes"
    if get_origin(hint) is list:
        return f"a list, each {_plain_words(get_args(hint)[0])}"
    if get_origin(hint) is dict:
        return "an object: integers by the name of the quantity"
    found = allowed(hint)
    assert found, f"tests/tidy/contract.py has no words for the type {hint}"
    return found


def meaning(hint: Any, where: str) -> str:
    """Return the description that stands beside a field's type."""
    arms = [hint] if get_origin(hint) is Annotated else [arm for arm in get_args(hint) if get_origin(arm) is Annotated]
    metas = [meta for arm in arms for meta in get_args(arm)[1:] if isinstance(meta, Meta)]
    found = next((meta.description for meta in metas if meta.description), None)
    assert found, f"{where} needs a `Meta(description=...)` beside its type"
    return found


def fields_of(kind: type[msgspec.Struct]) -> list[tuple[str, bool, Any]]:
    """List a type's fields: name, whether it is required, type."""
    hints = get_type_hints(kind, include_extras=True)
    return [(field.encode_name, field.required, hints[field.name]) for field in msgspec.structs.fields(kind)]


def commands() -> str:
    """Return a table of the fields that all commands have; then a heading, an example and a table for each."""
    names = set.intersection(*({name for name, _, _ in fields_of(kind)} for kind in SKU_COMMAND_TYPES))
    kinds = (*SKU_COMMAND_TYPES, *REFERENCE_COMMAND_TYPES)
    tags = ", ".join(map(tag_of, kinds))
    of_all = [("`type`", "yes", f"one of {tags}", "Which command it is."), *_rows(SKU_COMMAND_TYPES[0], names)]
    parts = [f"### Fields of every command\n\n{table(_FIELD_HEADS, of_all)}"]
    for kind in kinds:
        own = {name for name, _, _ in fields_of(kind)} - names
        line = line_of(tag_of(kind))
        rows = table(_FIELD_HEADS, _rows(kind, own))
        parts.append(f"### `{tag_of(kind)}`\n\n{kind.__doc__}\n\n```json\n{line}\n```\n\n{rows}")
    return "\n".join(parts)


def line_of(tag: str) -> str:
    """Return the example of a command, as a record holds it."""
    shown = LINES.get(tag) or next(document for document in EXAMPLES if document["type"] == tag)
    return json.dumps({"type": tag, **shown}, separators=(",", ":"))


def _rows(kind: type[msgspec.Struct], names: set[str]) -> list[tuple[str, ...]]:
    return [
        (
            f"`{name}`",
            "yes" if required else "",
            words(hint).removesuffix(", or null"),
            meaning(hint, f"{kind.__name__}.{name}"),
        )
        for name, required, hint in fields_of(kind)
        if name in names
    ]


def records(*kinds: type[msgspec.Struct]) -> str:
    """Return a heading and a table of fields for every type."""
    parts = []
    for kind in kinds:
        rows = []
        for name, required, hint in fields_of(kind):
            absent = "" if required or "absent" in words(hint) else ", or absent"
            held = words(hint).replace(", or null", "") if absent else words(hint)
            rows.append((f"`{name}`", held + absent, meaning(hint, f"{kind.__name__}.{name}")))
        parts.append(f"### {_RECORDS[kind]}\n\n{table(('field', 'holds', 'meaning'), rows)}")
    return "\n".join(parts)


def dead_letters() -> str:
    """Return the table of what a dead letter has: key, value and headers."""
    rows = []
    for name, required, hint in fields_of(DeadLetter):
        where = name if name in {"key", "value"} else f"header `{name}`"
        rows.append((where, "always" if required else "sometimes", meaning(hint, f"DeadLetter.{name}")))
    return table(("part", "there", "meaning"), rows)


def topics() -> str:
    """Return the table of topics with their configuration."""
    rows = []
    for name, config in TOPICS.items():
        about = ABOUT[name]
        kept = config["cleanup.policy"]
        for setting, text in (("retention.ms", "after {} days"), ("min.compaction.lag.ms", "not within {} days")):
            if setting in config:
                kept += ", " + text.format(int(config[setting]) // _DAY_MS)
        most = f"{int(config['max.message.bytes']):,}"
        rows.append((f"`{name}`", about.key, about.holds, about.writer, about.placed_by, kept, most))
    heads = ("topic", "key", "value", "written by", "partition", "kept (`cleanup.policy`)", "largest batch, bytes")
    return table(heads, rows)


def codes() -> str:
    """Return the table of codes, the ledger's in order of precedence; docs/codes.md says when each is given."""
    rows = []
    when = dict(re.findall(r"^\| `(\w+)` \| \d{3} \| (.+?) \|", document("docs/codes.md"), re.MULTILINE))
    for code, (status, _) in REFUSALS.items():
        whose = "gateway" if isinstance(code, GatewayCode) else "ledger"
        remembered = "yes" if whose == "ledger" and code not in NOT_REMEMBERED else "no"
        rows.append((f"`{code}`", str(status), whose, remembered, when[code]))
    return table(("code", "status", "from", "remembered", "when"), rows)


def routes() -> str:
    """Return the tables of routes, of their refusals and of their parameters."""
    parts = [table(("route", "scope", "does", "body", "answer"), map(_route, ROUTES))]
    refusals = ((f"`{route.name}`", _refusals(route)) for route in ROUTES if route.codes)
    parts.append(table(("route", "refusals"), refusals))
    used = {(it.name, it.description): it for route in ROUTES for it in route.parameters}.values()
    rows = []
    for it in used:
        of = ", ".join(f"`{route.name}`" for route in ROUTES if it in route.parameters)
        rows.append((f"`{it.name}`", it.where, "yes" if it.required else "", it.description, of))
    parts.append(table(("parameter", "in", "required", "meaning", "routes"), rows))
    return "\n".join(parts)


def _route(route: Route) -> tuple[str, str, str, str, str]:
    answer = route.answer if isinstance(route.answer, str) else route.answer.__name__
    statuses = [str(route.status), *([str(route.other[0])] if route.other else [])]
    scope = " or ".join(f"`{name}`" for name in sorted(route.scope or ())) or "none"
    return f"`{route.name}`", scope, route.summary, _body(route), f"{' or '.join(statuses)}: {answer}"


def _body(route: Route) -> str:
    if route.body is None:
        return ""
    if route.body not in SKU_COMMAND_TYPES:
        hints = (f"`{name}`{'' if required else ' (optional)'}" for name, required, _ in fields_of(route.body))
        return ", ".join(hints)
    tag = tag_of(route.body)
    given = [f"`{it.field}`" for it in route.parameters if it.field] + [f"`{name}`" for name in made_fields(tag)]
    return f"[`{tag}`](#{tag}) without `type`; optional: {', '.join(given)}"


def _refusals(route: Route) -> str:
    by_status = route.refusals_by_status
    return "; ".join(f"{status} {', '.join(f'`{code}`' for code in codes)}" for status, codes in by_status.items())


def schemas() -> str:
    """Return the list of Avro schemas, each with the message that it describes."""
    files = sorted((ROOT / "schemas/avro").glob("*.avsc"))
    rows = ((f"[{path.name}](../schemas/avro/{path.name})", json.loads(path.read_text())["doc"]) for path in files)
    return table(("schema", "describes"), rows)


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


SECTIONS: dict[str, Callable[[], str]] = {
    "topics": topics,
    "commands": commands,
    "results": lambda: records(
        Result,
        ReservationView,
        Allocation,
        Claim,
        StockView,
        InboundView,
        ReconciliationView,
        CountedUnits,
        ChannelAvailability,
        Promise,
        Waiting,
    ),
    "reference": lambda: records(Warehouse, Channel, FeedState, SkuPolicy),
    "stock_changes": lambda: records(StockChange, Cause, Quantities, BookView, BookInbound, ChannelUnits),
    "dead_letters": dead_letters,
    "status": lambda: records(PartitionStatus, TransactionTimes),
    "codes": codes,
    "routes": routes,
    "schemas": schemas,
}


def written_anew(page: str) -> str:
    """Return the page with every table as the types have it now."""
    names = [name for _, name, _ in _SECTION.findall(page)]
    assert names == list(SECTIONS), (
        f"docs/contract.md needs the markers of {', '.join(SECTIONS)}, once and in this order"
    )
    return _SECTION.sub(lambda found: f"{found[1]}\n{SECTIONS[found[2]]()}\n{found[3]}", page)


if __name__ == "__main__":
    avro_files.write_all()  # first: the page lists the files
    PAGE.write_text(written_anew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write("docs/contract.md and schemas/avro are written\n")
