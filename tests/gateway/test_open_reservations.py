"""`GET /v1/stock` lists a SKU's open reservations, page by page, where they are asked for."""

import pytest


async def test_a_read_of_stock_lists_open_reservations_where_they_are_asked_for(client, ledger):
    await client.get("/v1/stock", params={"sku": "a", "reservations": "20", "after": "cart-7"})
    await client.get("/v1/stock", params={"sku": "a"})
    listed, plain = ledger.commands
    assert (listed["reservations"], listed["after"]) == (20, "cart-7")
    assert not {"reservations", "after"} & plain.keys()


@pytest.mark.parametrize(("name", "value"), [("reservations", "0"), ("reservations", "101"), ("after", "no id")])
async def test_a_wrong_page_of_reservations_is_refused(client, ledger, name, value):
    answer = await client.get("/v1/stock", params={"sku": "a", name: value})
    assert (answer.status_code, answer.json()["field"]) == (422, name)
    assert ledger.commands == []
