"""The API's description: it lists what is there, and stands on its own."""

import json
import re

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from gateway.body_rules import RULES
from gateway.openapi import openapi_document
from gateway.problems import REFUSALS
from gateway.routes.table import ROUTES
from schemas.commands import Adjust
from schemas.inbound import AmendInbound

WITH_A_BODY = [route for route in ROUTES if route.body is not None]


def url_of(route):
    return re.sub(r"{\w+}", "a", route.path)


def validator_of(document, schema):
    """Return what checks a value by a schema of the document."""
    return jsonschema_rs.validator_for({**schema, "components": document["components"]})


def operation_of(document, route):
    return document["paths"][route.path][route.method.lower()]


def body_schema_of(document, route):
    return operation_of(document, route)["requestBody"]["content"]["application/json"]["schema"]


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
    names = {f"#/components/{kind}/{name}" for kind, named in document["components"].items() for name in named}
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


async def test_the_document_is_openapi_3_1_and_its_schemas_are_json_schemas(document):
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
        validator_of(document, schema)  # its patterns can be read


async def test_every_operation_tells_of_failures_and_every_one_with_a_body_of_bodies_that_are_none(document):
    for route in ROUTES:
        told = operation_of(document, route)["responses"].keys()
        assert {"400", "500"} <= told
        assert ({"408", "413", "415"} <= told) == (route.body is not None)


async def test_every_refusal_has_an_example_with_its_status_and_every_answer_the_id_of_its_request(document):
    problem = validator_of(document, document["components"]["schemas"]["ProblemDocument"])
    for route in ROUTES:
        for status, response in operation_of(document, route)["responses"].items():
            assert "Holdfast-Request-Id" in response["headers"]
            assert ("Retry-After" in response["headers"]) == (status in {"429", "503"})
            if "application/problem+json" in response.get("content", {}):
                example = response["content"]["application/problem+json"]["example"]
                assert example["status"] == int(status)
                problem.validate(example)


async def test_what_is_made_has_its_location_in_the_document(document):
    created = [route for route in ROUTES if route.status == 201]
    assert len(created) == 2
    assert all("Location" in operation_of(document, route)["responses"]["201"]["headers"] for route in created)


@pytest.mark.parametrize("route", WITH_A_BODY, ids=lambda route: route.name)
async def test_the_example_of_a_body_is_one_by_its_schema_and_the_gateway_takes_it(client, document, route):
    example = operation_of(document, route)["requestBody"]["content"]["application/json"]["example"]
    assert example == route.example
    validator_of(document, body_schema_of(document, route)).validate(example)
    answer = await client.request(route.method, url_of(route), json=example)
    assert answer.status_code == route.status, answer.text


WRONG = [
    ({"delta": None}, {}),
    ({"delta": 5, "count": 3}, {}),
    ({"delta": 0}, {}),
    ({"delta": None, "count": None}, {}),
    ({}, {"quantity": None}),
    ({}, {"quantity": None, "eta_at": None}),
]
RIGHT = [({"delta": -5}, {"eta_at": 9}), ({"delta": None, "count": 3}, {"quantity": 2, "eta_at": 9})]


@pytest.mark.parametrize(("adjust", "amend"), [*WRONG, *RIGHT])
async def test_a_rule_over_fields_says_the_same_as_the_gateway(client, document, adjust, amend):
    assert len(RULES) == 2
    for path, type_, changed in (("/v1/adjustments", Adjust, adjust), ("/v1/inbounds/a/amend", AmendInbound, amend)):
        if changed:
            body = next(route.example for route in ROUTES if route.body is type_) | changed
            schema = document["components"]["schemas"][f"{type_.__name__}Body"]
            is_right = (await client.post(path, json=body)).status_code == 200
            assert validator_of(document, schema).is_valid(body) is is_right is ((adjust, amend) in RIGHT)


def test_the_document_says_where_it_is_served_and_how_a_credential_is_sent():
    document = json.loads(openapi_document())
    assert document["servers"][0]["url"] == "/"
    assert document["components"]["securitySchemes"]["bearer"] | {"description": ""} == {
        "type": "http",
        "scheme": "bearer",
        "description": "",
    }
    for route in ROUTES:
        assert (operation_of(document, route).get("security") == []) == (not route.scope)
