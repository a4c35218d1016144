"""The Avro schemas and the msgspec types say the same, and a new version can read what the released one wrote."""

import json
from pathlib import Path

import avro.compatibility
import avro.schema
import msgspec
import pytest
from msgspec import inspect as shape

from tests.tidy.avro_files import MESSAGES, UNRECOGNISED, written

AVRO = Path(__file__).parents[2] / "schemas" / "avro"
# Symbols that were added to enums since `released/`.
NEW_SYMBOLS = {
    "result": ["limit_exceeded", "stale_version", "channel_not_allowed", "warehouse_disabled", "quantity_above_limit",
               "channel_cap_exceeded", "reservation_waiting", "unknown_inbound", "inbound_exists", "inbound_closed",
               "stale_count", "as_of_too_old", "drift_above_tolerance"],
    "adjust": ["quarantine"],
}  # fmt: skip


def avro_shape(schema, seen=()):
    """Reduce an Avro schema to nested tuples; a name that was seen before stands for itself."""
    kind = schema.type
    if kind == "union":
        return ("optional", *(avro_shape(arm, seen) for arm in schema.schemas if arm.type != "null"))
    if kind == "record":
        if schema.name in seen:
            return ("record", schema.name)
        fields = {f.name: avro_shape(f.type, (*seen, schema.name)) for f in schema.fields}
        return ("record", schema.name, fields)
    if kind == "enum":
        *symbols, last = schema.symbols
        assert (last, schema.other_props["default"]) == (UNRECOGNISED, UNRECOGNISED)
        return ("enum", tuple(symbols))
    if kind == "array":
        return ("array", avro_shape(schema.items, seen))
    if kind == "map":
        return ("map", avro_shape(schema.values, seen))
    return kind


PRIMITIVE = {shape.StrType: "string", shape.BytesType: "bytes", shape.BoolType: "boolean", shape.IntType: "long"}


def type_shape(kind, seen=()):
    if isinstance(kind, shape.Metadata):
        return type_shape(kind.type, seen)
    if type(kind) in PRIMITIVE:
        return PRIMITIVE[type(kind)]
    if isinstance(kind, shape.UnionType):
        arms = [type_shape(arm, seen) for arm in kind.types if not isinstance(arm, shape.NoneType)]
        return ("optional", *(inner for arm in arms for inner in (arm[1:] if arm[0] == "optional" else [arm])))
    if isinstance(kind, shape.LiteralType):
        return ("enum", tuple(kind.values))
    if isinstance(kind, shape.EnumType):
        return ("enum", tuple(member.value for member in kind.cls))
    if isinstance(kind, shape.ListType):
        return ("array", type_shape(kind.item_type, seen))
    if isinstance(kind, shape.DictType):
        return ("map", type_shape(kind.value_type, seen))
    return record_shape(kind, seen)


def record_shape(kind, seen):
    name = kind.cls.__name__
    if name in seen:
        return ("record", name)
    fields = {kind.tag_field: "string"} if kind.tag_field else {}
    for field in kind.fields:
        found = type_shape(field.type, (*seen, name))
        may_be_left_out = not field.required and field.default is msgspec.NODEFAULT
        fields[field.encode_name] = ("optional", found) if may_be_left_out and found[0] != "optional" else found
    return ("record", name, fields)


def read_schema(path):
    return avro.schema.parse(path.read_text())


@pytest.mark.parametrize("name", MESSAGES)
def test_each_type_mirrors_its_avro_schema_field_by_field(name):
    assert avro_shape(read_schema(AVRO / f"{name}.avsc")) == type_shape(shape.type_info(MESSAGES[name]))


@pytest.mark.parametrize("name", MESSAGES)
def test_each_schema_file_is_as_make_docs_writes_it(name):
    assert written(MESSAGES[name]) == (AVRO / f"{name}.avsc").read_text(), "run `make docs` and look at what changed"


def test_there_is_a_schema_for_every_message_and_no_other():
    assert {path.stem for path in AVRO.glob("*.avsc")} == set(MESSAGES)


@pytest.mark.parametrize("path", sorted((AVRO / "released").glob("*.avsc")), ids=lambda path: path.stem)
def test_a_schema_and_its_released_version_can_read_each_other(path):
    released, current = read_schema(path), read_schema(AVRO / path.name)
    # Avro's old readers cannot read a symbol they do not know, so readers are upgraded before writers.
    known = (
        (AVRO / path.name)
        .read_text()
        .replace(f', "{UNRECOGNISED}"]', "]")
        .replace(f', "default": "{UNRECOGNISED}"', "")
    )
    for symbol in NEW_SYMBOLS.get(path.stem, ()):
        known = known.replace(f'"{symbol}", ', "")
    checker = avro.compatibility.ReaderWriterCompatibilityChecker()
    for reader, writer in ((current, released), (released, avro.schema.parse(known))):
        verdict = checker.get_compatibility(reader, writer)
        assert verdict.compatibility is avro.compatibility.SchemaCompatibilityType.compatible, verdict.messages


def test_the_compatibility_check_refuses_a_new_field_without_a_default():
    document = json.loads((AVRO / "tick.avsc").read_text())
    document["fields"].append({"name": "surprise", "type": "long"})
    verdict = avro.compatibility.ReaderWriterCompatibilityChecker().get_compatibility(
        avro.schema.parse(json.dumps(document)), read_schema(AVRO / "released" / "tick.avsc")
    )
    assert verdict.compatibility is avro.compatibility.SchemaCompatibilityType.incompatible
