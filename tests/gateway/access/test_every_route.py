"""Every route of the table: it refuses without one of its scopes and answers with it, and never another site's page.

A gateway is made once for all routes of a test, because making one takes longer than asking all of them.
"""

import re

import pytest

from gateway.access.scopes import NOBODY, Scope
from gateway.routes.table import ROUTES

SCOPED = [route for route in ROUTES if route.scope is not NOBODY]
REFUSED = {"unauthenticated", "forbidden", "wrong_host"}


async def ask(client, route, headers=None):
    """Send a request that every route refuses or answers at once: it has no body, and a parameter that none has."""
    query = {"colour": "red"} if route.read is not None else {}
    path = re.sub(r"{\w+}", "r1", route.path)
    return await client.request(route.method, path, params=query, json={}, headers=headers)


def code_of(answer):
    is_problem = answer.headers["content-type"] == "application/problem+json"
    return answer.json()["code"] if is_problem else None


@pytest.fixture
async def every_scope(keyed):
    async with keyed(**{scope.value: {"scopes": [scope.value]} for scope in Scope}) as client:
        yield client


@pytest.mark.parametrize("scope", Scope)
async def test_a_route_is_answered_with_its_scopes_and_refused_with_any_other(every_scope, scope):
    for route in SCOPED:
        answer = await ask(every_scope, route, every_scope.as_[scope.value])
        if scope in route.scope or scope is Scope.ADMIN:
            assert code_of(answer) not in REFUSED, route.name
        else:
            assert (answer.status_code, code_of(answer)) == (403, "forbidden"), route.name
            assert answer.json()["field"] == "scope"
            assert all(needed in answer.json()["detail"] for needed in route.scope), route.name


async def test_a_route_is_refused_without_a_credential_that_holds(every_scope):
    unknown = f"Bearer hf_admin_{'A' * 43}"
    for headers in ({}, {"authorization": unknown}, {"authorization": "Basic eDp5"}, {"authorization": "Bearer "}):
        for route in SCOPED:
            answer = await ask(every_scope, route, headers)
            assert (answer.status_code, code_of(answer)) == (401, "unauthenticated"), route.name
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_what_needs_no_scope_needs_no_credential(every_scope):
    for route in ROUTES:
        if route.scope is NOBODY:
            assert code_of(await ask(every_scope, route)) not in REFUSED, route.name


async def test_a_route_is_refused_to_a_page_of_another_site(client, ledger):
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}, {"origin": "null"}):
        for route in ROUTES:
            answer = await ask(client, route, headers)
            assert (answer.status_code, code_of(answer)) == (403, "forbidden"), route.name
    assert ledger.commands == []


async def test_a_route_is_served_under_the_gateways_own_names_only_but_health_under_all(client):
    for route in ROUTES:
        answer = await ask(client, route, {"host": "evil.example"})
        assert ((answer.status_code, code_of(answer)) == (421, "wrong_host")) is not route.is_health, route.name


async def test_every_refusal_before_a_route_is_in_the_document(client):
    paths = (await client.get("/openapi.json")).json()["paths"]
    for route in ROUTES:
        responses = paths[route.path][route.method.lower()]["responses"]
        assert "`forbidden`" in responses["403"]["description"], route.name
        assert ("421" in responses) is not route.is_health, route.name
        assert ("401" in responses) is (route.scope is not NOBODY), route.name
