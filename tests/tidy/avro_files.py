"""Writes the Avro schemas of `schemas/avro` from the message types: `make docs`.

One field a line, with its default. A schema under `schemas/avro/released` is of an earlier release and stays.
"""

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as shape

from schemas.commands import COMMAND_TYPES, tag_of
from schemas.dead_letters import DeadLetter
from schemas.results import Result
from schemas.status import PartitionStatus
from schemas.stock_changes import StockChange

FOLDER = Path(__file__).parents[2] / "schemas" / "avro"
MESSAGES: dict[str, type[msgspec.Struct]] = {tag_of(kind): kind for kind in COMMAND_TYPES} | {
    "result": Result,
    "stock_change": StockChange,
    "dead_letter": DeadLetter,
    "partition_status": PartitionStatus,
}
UNRECOGNISED = "unrecognised"  # what a reader makes of a symbol that it does not know; it is never written
# The names that a file has defined: of enums with their symbols, of records with None.
Known = dict[str, list[Any] | None]
_PRIMITIVES = {shape.StrType: "string", shape.BytesType: "bytes", shape.BoolType: "boolean", shape.IntType: "long"}


def written(kind: type[msgspec.Struct]) -> str:
    """Return the text of a type's schema file."""
    record = _record(shape.type_info(kind), {})
    fields = record.pop("fields")
    name = {key: record.pop(key) for key in ("type", "name")}
    head = json.dumps(name | {"namespace": "holdfast"} | record, indent=2)
    lines = ",\n".join(f"    {json.dumps(field)}" for field in fields)
    return f'{head[:-2]},\n  "fields": [\n{lines}\n  ]\n}}\n'


def _record(kind: Any, known: Known) -> dict[str, Any]:
    name = kind.cls.__name__
    known[name] = None
    fields: list[dict[str, Any]] = []
    if kind.tag_field:
        fields.append({"name": kind.tag_field, "type": "string", "default": kind.tag})
    for field in kind.fields:
        found = _type(field.type, f"{name}.{field.encode_name}", known)
        may_be_left_out = not field.required and field.default is msgspec.NODEFAULT
        if may_be_left_out and not isinstance(found, list):
            found = ["null", found]
        optional = {"default": None} if isinstance(found, list) else {}
        fields.append({"name": field.encode_name, "type": found} | optional)
    return {"type": "record", "name": name, "doc": _doc(kind.cls), "fields": fields}


def _type(kind: Any, field: str, known: Known) -> Any:
    if isinstance(kind, shape.Metadata):
        return _type(kind.type, field, known)
    if type(kind) in _PRIMITIVES:
        return _PRIMITIVES[type(kind)]
    if isinstance(kind, shape.UnionType):
        return ["null", *_arms(kind, field, known)]
    if isinstance(kind, shape.LiteralType):
        return _enum(field, kind.values, known)
    if isinstance(kind, shape.EnumType):
        return _enum(kind.cls.__name__, [member.value for member in kind.cls], known)
    if isinstance(kind, shape.ListType):
        return {"type": "array", "items": _type(kind.item_type, field, known)}
    if isinstance(kind, shape.DictType):
        return {"type": "map", "values": _type(kind.value_type, field, known)}
    assert isinstance(kind, shape.StructType), f"{field} has a type that Avro files do not have: {kind}"
    return kind.cls.__name__ if kind.cls.__name__ in known else _record(kind, known)


def _arms(kind: Any, field: str, known: Known) -> list[Any]:
    """Return what a union may hold beside null; a union within a union counts as its members."""
    found = (_type(arm, field, known) for arm in kind.types if not isinstance(arm, shape.NoneType))
    return [arm for each in found for arm in (each[1:] if isinstance(each, list) else [each])]


def _enum(name: str, symbols: Any, known: Known) -> Any:
    """Return an enum named after its field; after the record too where another enum of the file has that name."""
    owner, _, field = name.rpartition(".")
    name, symbols = field[0].upper() + field[1:], list(symbols)
    if known.get(name, symbols) != symbols:
        name = owner + name
    if name in known:
        return name
    known[name] = symbols
    return {"type": "enum", "name": name, "symbols": [*symbols, UNRECOGNISED], "default": UNRECOGNISED}


def _doc(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").partition("\n\nArgs:")[0].split())


def write_all() -> None:
    """Write every schema file anew."""
    for name, kind in MESSAGES.items():
        (FOLDER / f"{name}.avsc").write_text(written(kind))
