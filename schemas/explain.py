"""Owns the sentences about a field that is wrong: which problem it has, what was given, and what is allowed.

Results have `field` and `problem` but no sentence, so that worker and audit agree byte for byte. Gateway and command
line make the sentence here, from the types in `schemas/commands.py`.
"""

import re
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Raw

from schemas.commands import COMMAND_TYPES, tag_of
from schemas.fields import CHANNEL_OR_ALL_PATTERN, IDENTIFIER_PATTERN, PLACE_PATTERN

# A sentence repeats a caller's value up to this many characters.
_MAX_GIVEN = 40
_CHARACTERS = {
    IDENTIFIER_PATTERN: "letters (a-z, A-Z), digits and . _ : -",
    PLACE_PATTERN: "letters (a-z, A-Z), digits and . _ -",
    CHANNEL_OR_ALL_PATTERN: "letters (a-z, A-Z), digits and . _ -; or * alone",
}
_PRINTABLE = "anything but control characters"
_KINDS: dict[object, type[msgspec.Struct]] = {tag_of(kind): kind for kind in COMMAND_TYPES}
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_fields_of = msgspec.json.Decoder(dict[str, Raw]).decode
_items_of = msgspec.json.Decoder(list[Raw]).decode


def explain(
    field: str, problem: str | None, record: bytes, *, kind: type[msgspec.Struct] | None = None, name: str | None = None
) -> str:
    """Return the sentence about a field that is wrong.

    Args:
        field: the field's path, as in a result: `quantity`, `skus[1]`.
        problem: its problem; None when it is unknown.
        record: the JSON object that holds the field.
        kind: the expected type of the record; None to take it from the record's `type`.
        name: the caller's name of the field, when it differs from the path.
    """
    name = name or field
    if kind is None:
        kind = _kind_of(record)
    hint = _hint_at(kind, field) if kind is not None else None
    if field == "type" and kind is None:
        must = f"must be one of {', '.join(str(tag) for tag in _KINDS)}"
    else:
        limits = allowed(hint)
        must = f"must be {limits}" if limits else ""
    given = _given(record, field)
    if problem in {None, "missing", "not_allowed"} and kind is not None and (rule := _broken_rule(record, kind, field)):
        return f"{rule}."
    if problem is None and given is None:
        problem = "missing"
    elif problem is None and kind is not None and hint is None and field != "type":
        problem = "unknown_field"
    if problem == "unknown_field":
        return _unknown(name, kind)
    return _sentence(name, problem, must, given)


def _sentence(name: str, problem: str | None, must: str, given: str | None) -> str:
    if problem == "missing":
        return f"{name} is missing; it {must}." if must else f"{name} is missing."
    wrong = {
        "wrong_type": "{} is of another type",
        "too_small": "{} is too short" if given == '""' else "{} is too small",
        "too_large": "{} is too large",
        "too_long": "{} is too long",
        "bad_characters": "{} has characters that are not allowed",
        "not_allowed": "{} is not allowed",
    }.get(problem or "", "{} is not")
    what = wrong.format(given or "what was given")
    return f"{name} {must}: {what}." if must else f"{name}: {what}."


def _unknown(name: str, kind: type[msgspec.Struct] | None) -> str:
    if kind is None:
        return f"{name} is no field."
    fields = ", ".join(kind.__struct_encode_fields__)
    tag = kind.__struct_config__.tag
    return (
        f"{tag} has no field {name}; its fields are {fields}." if tag else f"There is no field {name}, only {fields}."
    )


def _kind_of(record: bytes) -> type[msgspec.Struct] | None:
    try:
        type_ = msgspec.json.decode(_fields_of(record)["type"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    return _KINDS.get(type_) if isinstance(type_, str) else None


def _hint_at(kind: type[msgspec.Struct], path: str) -> Any:
    """Return the type of the field at a path; None when there is none."""
    hint: Any = kind
    for step, index in _STEP.findall(path):
        hint = _without_none(hint)
        if index:
            if get_origin(hint) is Annotated:
                hint = get_args(hint)[0]
            hint = (get_args(hint) or (None,))[0]
        elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            names = {field.encode_name: field.name for field in msgspec.structs.fields(hint)}
            hint = get_type_hints(hint, include_extras=True).get(names.get(step, step))
        else:
            return None
    return _without_none(hint)


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in {Annotated, Literal, list}:
        return hint
    arms = [arm for arm in get_args(hint) if arm is not NoneType]
    return arms[0] if arms else hint


def allowed(hint: Any) -> str | None:
    """Return what a type allows, in words; None when it is not one of those that fields have."""
    if get_origin(hint) is Annotated and get_origin(get_args(hint)[0]) is Literal:
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        return f"one of {', '.join(str(value) for value in get_args(hint))}"
    if get_origin(hint) is list:
        return f"a list, each {allowed(get_args(hint)[0])}"
    if get_origin(hint) is not Annotated:
        return {bool: "true or false", int: "an integer", str: "a string"}.get(hint)
    base, *metas = get_args(hint)
    return _within(base, next((meta for meta in metas if isinstance(meta, Meta)), Meta()))


def _within(base: Any, meta: Meta) -> str:
    """Return what a type with limits allows, in words."""
    if get_origin(base) is list:
        return f"a list of {meta.min_length or 0:,} to {meta.max_length:,} entries, each {allowed(get_args(base)[0])}"
    if base is int:
        if meta.le is None:
            return f"an integer from {meta.ge:,}" if meta.ge is not None else "an integer"
        return f"an integer from {meta.ge:,} to {meta.le:,}"
    pattern = str((meta.extra_json_schema or {}).get("pattern"))
    return f"a string of {meta.min_length} to {meta.max_length} characters ({_CHARACTERS.get(pattern, _PRINTABLE)})"


def _given(record: bytes, path: str) -> str | None:
    """Return the JSON text at a path, shortened; None when nothing stands there."""
    raw = Raw(record)
    try:
        for step, index in _STEP.findall(path):
            raw = _items_of(raw)[int(index)] if index else _fields_of(raw)[step]
        text = bytes(raw).decode()
    except (msgspec.DecodeError, ValueError, RecursionError, LookupError):
        return None
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= _MAX_GIVEN else f"{text[:_MAX_GIVEN]}... ({len(text):,} characters)"


def _broken_rule(record: bytes, kind: type[msgspec.Struct], field: str) -> str | None:
    """Return the sentence of a type's own rule over its fields (`__post_init__`), if that is what the record breaks."""
    try:
        msgspec.json.decode(record, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = str(error)
        return message.replace("`", "") if message.startswith(f"`{field}`") else None
    return None
