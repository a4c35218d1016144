"""The API's description: it lists what is there, and stands on its own."""

import re

import pytest

from gateway.problems import REFUSALS


@pytest.fixture
async def document(client):
    return (await client.get("/openapi.json")).json()


def references_in(node):
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from references_in(value)


async def test_every_reference_leads_somewhere(document):
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references_in(document)) <= names


async def test_the_problem_schema_knows_every_code(document):
    schema = document["components"]["schemas"]["ProblemDocument"]["properties"]["code"]
    assert schema["enum"] == sorted(code.value for code in REFUSALS)


async def test_bodies_leave_out_what_the_route_gives(document):
    for name, schema in document["components"]["schemas"].items():
        if name.endswith("Body") and name != "AvailabilityBody":
            assert {"type", "source"}.isdisjoint(schema["properties"])
            assert ("sku" in schema["required"]) == ("sku" in schema["properties"])
            assert "command_id" not in schema["required"]


async def test_no_pattern_forbids_half_a_character_which_many_libraries_cannot_read(client):
    assert b"ud800" not in (await client.get("/openapi.json")).content


async def test_every_operation_has_an_id_of_its_own(document):
    ids = [spec["operationId"] for methods in document["paths"].values() for spec in methods.values()]
    assert len(ids) == len(set(ids))


async def test_every_list_that_is_paged_says_where_its_link_leads(document):
    for methods in document["paths"].values():
        for spec in methods.values():
            is_paged = "cursor" in {parameter["name"] for parameter in spec["parameters"]}
            assert (
                "Link" in spec["responses"]["200" if is_paged else min(spec["responses"])].get("headers", {})
            ) == is_paged


async def test_every_path_parameter_is_described(document):
    for path, methods in document["paths"].items():
        for spec in methods.values():
            described = {parameter["name"] for parameter in spec["parameters"] if parameter["in"] == "path"}
            assert described == set(re.findall(r"{(\w+)}", path))
