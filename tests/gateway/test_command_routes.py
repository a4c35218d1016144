"""Every route of a command sends its examples unchanged, made from path, header and body."""

import pytest

from gateway.routes.table import ROUTES
from schemas.commands import SKU_COMMAND_TYPES, tag_of
from tests.examples import SKU_EXAMPLES, name_of

CASES = [
    pytest.param(route, document, id=name_of(document))
    for route in ROUTES
    if route.body in SKU_COMMAND_TYPES
    for document in SKU_EXAMPLES
    if document["type"] == tag_of(route.body)
]


@pytest.mark.parametrize(("route", "document"), CASES)
async def test_an_example_is_sent_as_it_is_and_its_result_is_the_answer(client, ledger, route, document):
    path, body = route.path, {name: value for name, value in document.items() if name not in ("type", "command_id")}
    for parameter in route.parameters:
        if parameter.where == "path":
            path = path.replace(f"{{{parameter.name}}}", body.pop(parameter.field))
    answer = await client.request(route.method, path, json=body, headers={"Idempotency-Key": document["command_id"]})
    (sent,) = ledger.commands
    assert {name: sent[name] for name in document} == document
    assert (answer.status_code, answer.json()) == (route.status, ledger.answer(sent))
