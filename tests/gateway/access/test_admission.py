"""Requests at a gateway with keys: who is let in, how often, and what follows a change of the key file."""

import asyncio
import time

import pytest
import structlog

from gateway.access import admission
from gateway.access.admission import Access
from gateway.access.config import AccessConfig, AccessError
from gateway.app import Gateway
from gateway.config import GatewayConfig

ADJUST = {"sku": "s", "warehouse": "w", "delta": 1, "reason": "receipt"}
ADMIN = {"scopes": ["admin"]}
RESERVE = {"sku": "s", "quantity": 1}


async def test_the_source_of_a_command_is_the_key(keyed, ledger):
    async with keyed(erp=ADMIN) as client:
        answer = await client.post("/v1/adjustments", json=ADJUST | {"actor": "Ann"}, headers=client.as_["erp"])
    assert answer.status_code == 200
    assert (ledger.commands[0]["source"], ledger.commands[0]["actor"]) == ("key/erp", "Ann")


async def test_an_open_gateways_commands_have_no_source_and_a_callers_own_is_refused(client, ledger):
    assert (await client.post("/v1/adjustments", json=ADJUST)).status_code == 200
    assert "source" not in ledger.commands[0]
    answer = await client.post("/v1/adjustments", json=ADJUST | {"source": "me"}, headers={"idempotency-key": "k"})
    assert (answer.status_code, answer.json()["field"]) == (422, "source")
    assert answer.headers["idempotency-key"] == "k"


async def test_a_policys_source_is_the_key_as_well(keyed, ledger):
    async with keyed(boss=ADMIN) as client:
        put = await client.put("/v1/warehouses/w", json={"version": 1, "enabled": True}, headers=client.as_["boss"])
    assert put.status_code == 200
    assert {command["source"] for command in ledger.commands} == {"key/boss"}


async def test_a_query_carries_source_and_channels(keyed, ledger):
    async with keyed(shop={"scopes": ["read"], "channels": ["web", "shop"]}) as client:
        for path in ("/v1/stock?sku=s", "/v1/reservations/r?sku=s", "/v1/backorders?sku=s", "/v1/commands/c?sku=s"):
            await client.get(path, headers=client.as_["shop"])
    assert [(it["source"], it["channels"]) for it in ledger.commands] == [("key/shop", ["shop", "web"])] * 4


async def test_the_status_says_which_key_asks_and_what_it_may_do(keyed):
    async with keyed(shop={"scopes": ["read", "adjust"], "channels": ["web"]}) as client:
        document = (await client.get("/v1/status", headers=client.as_["shop"])).json()
    assert document["credential"]["scopes"] == ["adjust", "read"]
    assert document["credential"]["channels"] == ["web"]
    assert "shop" in document["credential"]["id"]


async def test_a_repeated_result_does_not_show_another_channels_reservation(keyed, ledger, helpers):
    held = {"reservation_id": "r", "state": "held", "quantity": 1, "committed": 0, "released": 0, "allocations": []}
    ledger.answer = lambda command: helpers.result_of(
        command, replayed=True, reservation={**held, "channel": command["reason"], "order_id": None, "expires_at": None}
    )
    async with keyed(shop={"scopes": ["reserve"], "channels": ["web"]}) as client:
        asked = {"headers": client.as_["shop"]}
        own, other = [
            await client.post("/v1/reservations/r/release", json={"sku": "s", "reason": channel}, **asked)
            for channel in ("web", "store")
        ]
        items = [
            {"type": "release", "sku": "s", "reservation_id": "r", "reason": channel} for channel in ("web", "store")
        ]
        of_a_list = await client.post("/v1/commands", json={"commands": items}, **asked)
    assert own.json()["reservation"]["channel"] == "web"
    assert (other.status_code, other.json()["code"], "result" in other.json()) == (404, "unknown_reservation", False)
    assert [item["status"] for item in of_a_list.json()["results"]] == [200, 404]
    assert "store" not in of_a_list.text


async def test_a_reservation_gets_the_keys_only_channel(keyed, ledger):
    async with keyed(shop={"scopes": ["reserve"], "channels": ["web"]}) as client:
        headers = client.as_["shop"]
        assert (await client.post("/v1/reservations", json=RESERVE, headers=headers)).status_code == 201
        other = await client.post("/v1/reservations", json=RESERVE | {"channel": "market"}, headers=headers)
    assert [command["channel"] for command in ledger.commands] == ["web"]
    assert (other.status_code, other.json()["field"]) == (403, "channel")
    assert "market" in other.json()["detail"]


async def test_two_credentials_are_none(keyed):
    async with keyed(erp=ADMIN) as client:
        twice = [("authorization", client.as_["erp"]["authorization"])] * 2
        assert (await client.get("/v1/stock?sku=s", headers=twice)).status_code == 401


async def test_the_scheme_may_be_written_in_any_case(keyed):
    async with keyed(erp=ADMIN) as client:
        headers = {"authorization": f"bEARER {client.keys['erp']}"}
        assert (await client.get("/v1/stock?sku=s", headers=headers)).status_code == 200


async def test_a_key_that_has_expired_is_refused(keyed, monkeypatch):
    async with keyed(erp=ADMIN | {"expires_at": time.time_ns() // 1_000_000 + 60_000}) as client:
        assert (await client.get("/v1/stock?sku=s", headers=client.as_["erp"])).status_code == 200
        later = time.time_ns() + 60_001 * 1_000_000
        monkeypatch.setattr(time, "time_ns", lambda: later)
        answer = await client.get("/v1/stock?sku=s", headers=client.as_["erp"])
    assert (answer.status_code, answer.json()["detail"]) == (401, "The key has expired.")


async def test_a_key_above_its_rate_is_told_when_to_come_back(keyed):
    async with keyed(slow=ADMIN | {"rate_per_s": 0.1, "burst": 2}, other=ADMIN) as client:
        statuses = [(await client.get("/metrics", headers=client.as_["slow"])).status_code for _ in range(2)]
        answer = await client.get("/metrics", headers=client.as_["slow"])
        other = await client.get("/metrics", headers=client.as_["other"])
    assert (statuses, answer.status_code, answer.json()["code"]) == ([200, 200], 429, "rate_limited")
    assert answer.headers["retry-after"] == "10"
    assert answer.headers["ratelimit-policy"] == '"credential";q=2;w=20'
    assert answer.headers["ratelimit"] == '"credential";r=0;t=10'
    assert other.status_code == 200


async def test_one_key_may_have_a_quarter_of_the_waiting_requests(keyed, ledger):
    waiting = asyncio.Event()

    async def ask(command):
        await waiting.wait()
        return await type(ledger).ask(ledger, command)

    ledger.ask = ask
    async with keyed(a=ADMIN, b=ADMIN) as client:
        usage = client.gateway.access._keys.credential(client.keys["a"].encode()).usage
        assert usage.most_waiting == client.gateway.config.max_in_flight // 4
        usage.most_waiting = 2
        asked = [asyncio.ensure_future(client.get("/v1/stock?sku=s", headers=client.as_["a"])) for _ in range(3)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        other = asyncio.ensure_future(client.get("/v1/stock?sku=s", headers=client.as_["b"]))
        await asyncio.sleep(0)
        waiting.set()
        answers = [await answer for answer in asked]
        assert (await other).status_code == 200
        # What was answered counts no more.
        assert (await client.get("/v1/stock?sku=s", headers=client.as_["a"])).status_code == 200
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429]
    assert [answer.result().json()["code"] for answer in done] == ["rate_limited"]


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(admission, "_FILES_EVERY_S", 0.01)


async def until(condition):
    async with asyncio.timeout(5):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("often")
async def test_a_revoked_key_is_refused_and_what_it_has_open_ends(keyed, kit, tmp_path):
    async with keyed(a=ADMIN, b=ADMIN) as client:
        following = asyncio.ensure_future(client.gateway.access.run())
        before = client.gateway.access._credential([f"Bearer {client.keys['a']}".encode()])
        kit.write_keys(tmp_path / "keys.json", [kit.entry(client.keys["b"], **ADMIN)])

        async def refused():
            return (await client.get("/metrics", headers=client.as_["a"])).status_code == 401

        await until(refused)
        assert not before.holds()
        assert (await client.get("/metrics", headers=client.as_["b"])).status_code == 200
        following.cancel()


@pytest.mark.parametrize("broken", ["not json", '{"keys": [{"id": "a"}]}', None, "others may write"])
@pytest.mark.usefixtures("often")
async def test_the_last_good_keys_hold_while_the_file_is_broken(keyed, kit, tmp_path, broken):
    file = tmp_path / "keys.json"
    async with keyed(a=ADMIN) as client:
        access = client.gateway.access
        following = asyncio.ensure_future(access.run())
        assert not access.credentials_stale
        with structlog.testing.capture_logs() as logs:
            if broken is None:
                file.unlink()
            elif broken == "others may write":
                file.chmod(0o622)
            else:
                file.write_text(broken)

            async def stale():
                return access.credentials_stale

            await until(stale)
            await asyncio.sleep(0.05)
        assert [entry["log_level"] for entry in logs] == ["warning"]
        assert (await client.get("/metrics", headers=client.as_["a"])).status_code == 200
        kit.write_keys(file, [kit.entry(client.keys["a"], **ADMIN)])

        async def mended():
            return not access.credentials_stale

        await until(mended)
        following.cancel()


@pytest.mark.usefixtures("often")
async def test_a_stream_ends_with_its_key(keyed, kit, tmp_path):
    async with keyed(a=ADMIN) as client:
        tasks = [asyncio.ensure_future(part.run()) for part in (client.gateway.access, client.gateway.status)]
        headers = client.as_["a"] | {"accept": "text/event-stream"}
        stream = asyncio.ensure_future(client.get("/v1/status", headers=headers))
        await asyncio.sleep(0.05)
        assert not stream.done()
        kit.write_keys(tmp_path / "keys.json", [])
        answer = await asyncio.wait_for(stream, 10)
        assert "event: status" in answer.text
        for task in tasks:
            task.cancel()


async def test_what_a_key_has_used_of_its_rate_stays_when_the_file_changes(keyed, kit, tmp_path):
    fields = ADMIN | {"rate_per_s": 0.001, "burst": 1}
    async with keyed(a=fields) as client:
        assert (await client.get("/metrics", headers=client.as_["a"])).status_code == 200
        kit.write_keys(
            tmp_path / "keys.json", [kit.entry(client.keys["a"], **fields), kit.entry(kit.key("b"), **ADMIN)]
        )
        await client.gateway.access.load()
        assert (await client.get("/metrics", headers=client.as_["a"])).status_code == 429


async def test_a_gateway_does_not_start_with_a_key_file_that_others_may_write(tmp_path, ledger, kit):
    file = tmp_path / "keys.json"
    kit.write_keys(file, [])
    file.chmod(0o666)
    gateway = Gateway(GatewayConfig(access=AccessConfig(keys_file=file)), ledger)
    with pytest.raises(AccessError, match="may write"):
        async with gateway.running():
            pass


async def test_an_open_gateway_follows_nothing_until_it_is_stopped():
    following = asyncio.ensure_future(Access(AccessConfig(), host="127.0.0.1", max_in_flight=1).run())
    done, _ = await asyncio.wait([following], timeout=0.02)
    following.cancel()
    assert not done
