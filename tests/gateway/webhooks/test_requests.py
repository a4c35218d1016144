"""One request of a webhook: id, body, signatures, and what answers mean."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import NamedTuple

import pytest
from standardwebhooks import Webhook

from gateway.webhooks import requests as module
from gateway.webhooks.endpoints import Endpoint
from gateway.webhooks.requests import headers_of, message_of
from gateway.webhooks.serve import sending
from schemas.topics import RESULTS, STOCK_CHANGES


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    value: bytes
    key: bytes = b"a/york"
    timestamp: int = 1_764_000_000_123


def changes(*offsets):
    return [Record(STOCK_CHANGES, 3, offset, json.dumps({"sku": "a", "seq": offset}).encode()) for offset in offsets]


def endpoint(secrets, url="https://example.com/hook", **fields):
    return Endpoint(id="shop", url=url, secrets=list(secrets), types=["stock-change"], **fields)


def test_a_message_is_named_by_the_place_of_its_records():
    message = message_of(changes(4711))
    assert message.id == "stock-changes:3:4711"
    assert json.loads(message.body) == {
        "type": "stock-change",
        "timestamp": "2025-11-24T16:00:00.123Z",
        "data": [{"sku": "a", "seq": 4711}],
    }
    assert message_of([Record(RESULTS, 0, 7, b"{}")]).id == "results:0:7"
    assert json.loads(message_of([Record(RESULTS, 0, 7, b"{}")]).body)["type"] == "unsolicited-result"


def test_another_batch_from_the_same_place_has_another_id():
    assert message_of(changes(4, 5, 9)).id == "stock-changes:3:4-9"
    assert message_of(changes(4, 5)).id != message_of(changes(4, 5, 9)).id
    assert message_of(changes(4, 5)) == message_of(changes(4, 5))


def test_while_secrets_change_a_request_is_signed_with_both(secrets):
    message = message_of(changes(1))
    headers = headers_of(endpoint(secrets), message, datetime.now(UTC))
    for secret in secrets:
        assert Webhook(secret).verify(message.body, headers)["type"] == "stock-change"
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert "holdfast-replay" not in headers
    assert headers_of(endpoint(secrets), message, datetime.now(UTC), is_replay=True)["holdfast-replay"] == "true"


@pytest.mark.parametrize(
    ("said", "kind", "wait_s"),
    [
        (200, "delivered", None),
        (204, "delivered", None),
        (301, "again", None),
        (400, "refused", None),
        (404, "refused", None),
        (408, "again", None),
        (410, "gone", None),
        (425, "again", None),
        ((429, {"Retry-After": "7"}), "again", 7.0),
        ((429, {"Retry-After": "soon"}), "again", None),
        (500, "again", None),
        ((503, {"Retry-After": "0"}), "again", 0.0),
    ],
)
async def test_what_an_answer_means(receiver, secrets, said, kind, wait_s):
    receiver.script = [said]
    async with sending(None) as sender:
        answer = await sender.send(endpoint(secrets, receiver.url), message_of(changes(1)))
    status = said[0] if isinstance(said, tuple) else said
    assert (answer.kind, answer.status, answer.wait_s, answer.reason) == (kind, status, wait_s, f"status {status}")


async def test_a_retry_after_may_be_a_date(receiver, secrets):
    at = datetime.now(UTC) + timedelta(seconds=90)
    receiver.script = [(503, {"Retry-After": format_datetime(at, usegmt=True)})]
    async with sending(None) as sender:
        answer = await sender.send(endpoint(secrets, receiver.url), message_of(changes(1)))
    assert 80 < answer.wait_s <= 90


async def test_a_redirect_is_not_followed(receiver, secrets):
    receiver.script = [(307, {"Location": "/elsewhere"})]
    async with sending(None) as sender:
        answer = await sender.send(endpoint(secrets, receiver.url), message_of(changes(1)))
    assert answer.kind == "again"
    assert [path for path, _, _ in receiver.requests] == ["/hook"]


async def test_a_receiver_that_is_silent_or_away_is_asked_again(receiver, secrets, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    receiver.slow_s = 1.0
    async with sending(None) as sender:
        silent = await sender.send(endpoint(secrets, receiver.url), message_of(changes(1)))
        away = await sender.send(endpoint(secrets, "http://127.0.0.1:9/"), message_of(changes(1)))
    assert (silent.kind, silent.status) == ("again", None)
    assert (away.kind, away.status) == ("again", None)
    assert "127.0.0.1" not in away.reason


async def test_only_the_first_64_kib_of_an_answer_are_read(secrets):
    sent = 0

    async def answer(reader, writer):
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        except OSError:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, sending(None) as sender:
        port = server.sockets[0].getsockname()[1]
        found = await sender.send(endpoint(secrets, f"http://127.0.0.1:{port}/"), message_of(changes(1)))
    assert found.kind == "delivered"
    assert sent < 100_000_000


async def test_requests_take_the_proxy(receiver, secrets):
    async with sending(receiver.url) as sender:
        answer = await sender.send(endpoint(secrets, "http://localhost:9/there"), message_of(changes(1)))
    assert answer.kind == "delivered"
    assert [headers["Host"] for _, headers, _ in receiver.requests] == ["localhost:9"]
