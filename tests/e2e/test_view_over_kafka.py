"""What the gateway's view answers is what the worker decides, through a broker, after a history of all commands."""

import json
import time
import urllib.error
import urllib.request
from urllib.parse import urlencode

import pytest

from tests.tables.histories import CHANNELS, SKUS, WAREHOUSES, write_history

SEED, RECORDS = 6, 100  # in the end both SKUs have promises for some channels
# Times of a history are milliseconds apart. Here they are so many seconds apart, so that none passes meanwhile.
UNIT_MS = 1_000_000


def renamed(text):
    """Return a text in which SKUs, channels and warehouses are none of another test's."""
    for name in (*CHANNELS, *WAREHOUSES):
        text = text.replace(f'"{name}"', f'"reads-{name}"')
    for sku in SKUS:
        text = text.replace(f'"sku": "{sku}"', f'"sku": "reads-{sku}"')
    return text


def lines():
    """Yield the commands of a history; a rule for all channels is one of these SKUs only."""
    for told in write_history(SEED, RECORDS, start=time.time_ns() // 1_000_000, unit=UNIT_MS):
        document = told.document
        if document.get("type") in {None, "tick"}:
            continue
        if document["type"] == "set_channel" and document["channel"] == "*":
            del document["version"]
            documents = [document | {"type": "set_policy", "sku": sku} for sku in SKUS]
        else:
            documents = [document]
        for number, each in enumerate(documents):
            yield renamed(json.dumps(each | {"command_id": f"reads-{number}-{each['command_id']}"})) + "\n"


class Gateway:
    """Asks the gateway of the stage."""

    def __init__(self, stage):
        self._host = stage.gateway
        self.seq = 0  # of the SKU that was reserved last

    def get(self, path, **query):
        with urllib.request.urlopen(f"http://{self._host}/v1/{path}?{urlencode(query)}", timeout=30) as answer:
            return json.load(answer)

    def may_have(self, sku, channel, min_seq=0):
        (item,) = self.get("availability", sku=sku, channel=channel, min_seq=min_seq)["items"]
        return item

    def reserve(self, **fields):
        """Return the code and the reservation."""
        request = urllib.request.Request(
            f"http://{self._host}/v1/reservations", json.dumps(fields | {"ttl_ms": 0}).encode()
        )
        request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - it is http
                result = json.load(answer)
        except urllib.error.HTTPError as refused:
            result = json.load(refused)["result"]
        self.seq = result["seq"]
        return result["code"], result["reservation"]


@pytest.fixture(scope="module")
def gateway(stage):
    """Return a gateway whose view shows what queries answered after the history."""
    asked = [
        {"type": "query", "command_id": "q", "sku": f"reads-{sku}", "channel": f"reads-{channel}"}
        for sku in SKUS
        for channel in CHANNELS
    ]
    told = [*lines(), *(json.dumps(query) + "\n" for query in asked)]
    answers = stage.ask("send", "--wait", given="".join(told)).splitlines()[-len(asked) :]
    gateway, deadline = Gateway(stage), time.monotonic() + 20
    for query, answer in zip(asked, answers, strict=True):
        wanted = json.loads(answer)["availability"]
        while {
            name: it for name, it in gateway.may_have(query["sku"], query["channel"]).items() if name in wanted
        } != wanted:
            assert time.monotonic() < deadline, (wanted, gateway.may_have(query["sku"], query["channel"]))
            time.sleep(0.02)
    return gateway


@pytest.mark.parametrize("sku", SKUS)
def test_a_reserve_is_given_what_the_view_shows_by_the_date_that_it_names_and_no_more(gateway, sku):
    dates = []
    for channel in CHANNELS:
        of = {"sku": f"reads-{sku}", "channel": f"reads-{channel}"}
        most = gateway.may_have(**of)["most_per_reservation"]
        assert gateway.reserve(quantity=most + 1, **of)[0] is not None
        dated = gateway.get("promises", quantity=most + 2, **of)["promised_at"]
        dates.append(dated)
        by = {} if dated is None else {"promise_by": dated}
        code, reservation = gateway.reserve(quantity=most + 2, wait="inbound", **of, **by)
        assert (code is None) == (dated is not None)
        assert dated is None or reservation["promised_at"] == dated
        most = gateway.may_have(**of, min_seq=gateway.seq)["most_per_reservation"]
        assert not most or gateway.reserve(quantity=most, **of)[0] is None
        gateway.may_have(**of, min_seq=gateway.seq)
    assert any(dates)
