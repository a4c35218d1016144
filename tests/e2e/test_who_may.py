"""Keys through a broker and a worker: what belongs to one channel does not exist for the key of another."""

import json

import httpx
import pytest

from gateway.access.config import AccessConfig
from gateway.app import Gateway
from gateway.config import GatewayConfig
from ops.keys import make_key
from tests.harness import PARTITIONS

SKU = "who-may"
KEYS = {"erp": ("adjust", None), "web": ("read,reserve", "web"), "market": ("read,reserve", "market")}


@pytest.fixture
async def ask(stage, tmp_path):
    """Return a function that sends a request with a key and gives the status, and the code or the document."""
    file = tmp_path / "keys.json"
    limits = {"rate_per_s": None, "burst": None, "expires_at": None}
    keys = {
        id_: make_key(file, id_=id_, scopes=scopes, channels=channels, **limits)
        for id_, (scopes, channels) in KEYS.items()
    }
    config = GatewayConfig(bootstrap=stage.bootstrap, partitions=PARTITIONS, access=AccessConfig(keys_file=file))
    gateway = Gateway(config)
    transport = httpx.ASGITransport(gateway.app)
    async with gateway.running(), httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await gateway.ledger.connected.wait()

        async def ask(who, method, path, **request):
            headers = {"authorization": f"Bearer {keys[who]}", "idempotency-key": request.pop("key", f"{who}-q")}
            answer = await client.request(method, f"/v1/{path}", headers=headers, timeout=30, **request)
            document = answer.json()
            return answer.status_code, document.get("code") or document

        yield ask


async def test_a_reservation_of_one_channel_does_not_exist_for_the_key_of_another(ask, stage):
    of_sku, body = {"params": {"sku": SKU}}, {"json": {"sku": SKU}}
    receipt = {"sku": SKU, "warehouse": "leeds", "delta": 9, "reason": "receipt"}
    assert (await ask("erp", "POST", "adjustments", json=receipt, key="who-1"))[0] == 200
    status, made = await ask("web", "POST", "reservations", json=body["json"] | {"quantity": 2}, key="who-2")
    assert (status, made["reservation"]["channel"]) == (201, "web")

    assert await ask("market", "POST", "reservations/who-2/commit", **body, key="who-3") == (404, "unknown_reservation")
    assert await ask("market", "POST", "reservations/who-2/release", **body, key="who-4") == (
        404,
        "unknown_reservation",
    )
    assert await ask("market", "GET", "reservations/who-2", **of_sku) == (404, "unknown_reservation")
    assert await ask("market", "GET", "commands/who-2", **of_sku) == (404, "unknown_command")
    assert await ask("erp", "POST", "reservations/who-2/commit", **body, key="who-5") == (403, "forbidden")

    assert (await ask("web", "GET", "reservations/who-2", **of_sku))[1]["reservation"]["quantity"] == 2
    assert (await ask("web", "GET", "commands/who-2", **of_sku))[1]["command_id"] == "who-2"
    assert (await ask("web", "POST", "reservations/who-2/commit", **body, key="who-6"))[0] == 200

    printed = stage.ask("tail", "stock-changes", "--from-beginning", "--sku", SKU, "--json", "--limit", "3")
    causes = [json.loads(line)["cause"] for line in printed.splitlines()]
    assert [cause["source"] for cause in causes] == ["key/erp", "key/web", "key/web"]
