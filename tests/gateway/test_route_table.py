"""The table of routes: the app and the document have what stands in it, and nothing else."""

import re

import pytest
from msgspec import UNSET

from gateway.parameters import IDEMPOTENCY_KEY, RESERVATION_ID
from gateway.problems import REFUSALS
from gateway.routes.route import check_routes
from gateway.routes.table import ROUTES
from schemas.commands import SKU_COMMAND_TYPES, Query, Settle, tag_of
from tests.examples import EXAMPLES

COMMAND_ROUTES = [route for route in ROUTES if route.body in SKU_COMMAND_TYPES]
READS_WITH_A_QUERY = [route for route in ROUTES if route.read is not None]


def test_every_route_of_the_app_is_in_the_table_and_the_other_way_round(gateway):
    served = {
        f"{method} {re.sub(':str', '', route.path_format)}" for route in gateway.app.routes for method in route.methods
    }
    declared = {route.name for route in ROUTES}
    beside = {f"HEAD {route.path}" for route in ROUTES if route.method == "GET"}
    assert served == declared | beside | {f"OPTIONS {route.path}" for route in ROUTES}


async def test_every_route_of_the_document_is_in_the_table_and_the_other_way_round(client):
    paths = (await client.get("/openapi.json")).json()["paths"]
    described = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert described == {route.name for route in ROUTES}


def test_every_command_that_changes_something_has_a_route():
    # What changes with `settle` follows from the rules in force: it is an operator's (`holdfast settle`).
    assert {route.body for route in COMMAND_ROUTES} == set(SKU_COMMAND_TYPES) - {Query, Settle}


@pytest.mark.parametrize("route", COMMAND_ROUTES, ids=lambda route: route.name)
async def test_a_body_without_what_the_document_requires_is_refused(client, route):
    document = (await client.get("/openapi.json")).json()
    schema = document["components"]["schemas"][f"{route.body.__name__}Body"]
    answer = await client.request(route.method, route.path.format(id="r1"), json={})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")
    assert answer.json()["field"] in schema["required"]


@pytest.mark.parametrize("route", COMMAND_ROUTES, ids=lambda route: route.name)
async def test_each_code_of_a_command_is_answered_with_a_status_of_the_document(client, ledger, helpers, route):
    document = (await client.get("/openapi.json")).json()
    responses = document["paths"][route.path][route.method.lower()]["responses"]
    fields = document["components"]["schemas"][f"{route.body.__name__}Body"]["properties"]
    example = next(example for example in EXAMPLES if example["type"] == tag_of(route.body))
    in_path = {parameter.field for parameter in route.parameters if parameter.where == "path"}
    body = {name: value for name, value in example.items() if name in fields.keys() - in_path}
    for code in route.codes:
        ledger.answer = lambda command, code=code: helpers.result_of(command, code=code.value)
        if code in {"malformed", "invalid_field"} or not hasattr(type(code), "UNKNOWN_SKU"):
            continue
        answer = await client.request(route.method, route.path.format(id="r1"), json=body)
        assert answer.status_code == REFUSALS[code].status
        assert f"`{code}`" in responses[str(answer.status_code)]["description"]


@pytest.mark.parametrize("route", READS_WITH_A_QUERY, ids=lambda route: route.name)
async def test_a_read_takes_the_parameters_of_the_table_and_no_other(client, route):
    answer = await client.get(route.path.format(id="r1"), params={"colour": "red"})
    assert (answer.status_code, answer.json()["field"]) == (422, "colour")


RESERVE = next(route for route in ROUTES if route.name == "POST /v1/reservations")
WRONG = [
    ((RESERVE, RESERVE), "stands twice"),
    ((RESERVE._replace(act=None),), "needs `act` or `read`"),
    ((RESERVE._replace(scope=UNSET),), "needs a scope"),
    ((RESERVE._replace(parameters=(RESERVATION_ID, IDEMPOTENCY_KEY)),), "its parameters differ"),
    ((RESERVE._replace(path="/v1/reservations/{id}"),), "its parameters differ"),
]


@pytest.mark.parametrize(("routes", "sentence"), WRONG)
def test_a_table_that_is_wrong_says_so_in_a_sentence(routes, sentence):
    with pytest.raises(RuntimeError, match=sentence):
        check_routes(routes)
