"""What every request is held to, and what every answer carries, over a fake ledger."""

import asyncio
import json
import re

import httpx
import pytest

from gateway.app import Gateway
from gateway.body_clock import BODY_WITHIN_S
from gateway.config import GatewayConfig
from gateway.problems import KafkaUnavailable, ResultTimeout
from gateway.replies import PAGE_POLICY
from gateway.routes.table import ROUTES, methods_of

ADJUST = {"sku": "85123A", "warehouse": "leeds", "delta": 5, "reason": "receipt"}
GOODS = {"warehouse": "w", "eta_at": 1_764_000_000_000}
BODY = json.dumps(ADJUST).encode()
PATHS = sorted({route.path for route in ROUTES})


def url_of(path):
    return path.replace("{", "").replace("}", "")


def metric(text, route, status):
    found = re.search(
        rf'^holdfast_gateway_requests_total{{route="{route}",status="{status}"}} (\S+)$', text, re.MULTILINE
    )
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("given", ["k1", '"k1"'])
async def test_a_key_is_taken_bare_or_as_a_string_in_quotes_and_given_back_bare(client, ledger, given):
    answer = await client.post("/v1/adjustments", json=ADJUST, headers={"Idempotency-Key": given})
    assert (answer.status_code, answer.headers["idempotency-key"], ledger.commands[0]["command_id"]) == (
        200,
        "k1",
        "k1",
    )


@pytest.mark.parametrize("given", ['"', '""', '"k1', 'k1"', '"k\\"1"', '"k1";a=1', '"k1", "k2"', "k1, k2"])
async def test_a_key_in_quotes_that_do_not_fit_is_refused(client, ledger, given):
    answer = await client.post("/v1/adjustments", json=ADJUST, headers={"Idempotency-Key": given})
    assert (answer.status_code, answer.json()["field"]) == (422, "command_id")
    assert ledger.commands == []


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/adjustments"), ("PUT", "/v1/warehouses/leeds")])
async def test_two_keys_in_one_request_are_refused(client, ledger, method, path):
    headers = [("content-type", "application/json"), ("idempotency-key", "k1"), ("idempotency-key", "k1")]
    answer = await client.request(method, path, content=BODY, headers=headers)
    assert (answer.status_code, answer.json()["field"], answer.json()["problem"]) == (
        422,
        "command_id",
        "bad_characters",
    )
    assert ledger.commands == []


WITH_A_BODY = [(route.method, url_of(route.path)) for route in ROUTES if route.body is not None]
NOT_JSON = [
    {"content-type": ""},
    {"content-type": "text/plain"},
    {"content-type": "text/plain; application/json"},
    {"content-type": "application/x-www-form-urlencoded"},
    {"content-type": "application/json; charset=utf-16"},
    {"content-type": "application/json, text/plain"},
    {"content-type": "application/jsonp"},
    {"content-encoding": "gzip"},
    {"content-encoding": "identity, gzip"},
]


@pytest.mark.parametrize("headers", NOT_JSON, ids=str)
async def test_a_body_that_is_no_plain_json_by_its_headers_is_refused(client, ledger, headers):
    for method, path in WITH_A_BODY:
        answer = await client.request(method, path, content=BODY, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type"), path
    assert ledger.commands == []


async def test_a_body_without_a_media_type_is_refused(client):
    del client.headers["content-type"]
    assert (await client.post("/v1/adjustments", content=BODY)).status_code == 415


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {"content-type": "Application/JSON; charset=UTF-8"},
        {"content-type": 'application/json;charset="utf-8"'},
        {"content-type": "application/json;"},
        {"content-encoding": "identity"},
    ],
    ids=str,
)
async def test_json_is_taken_with_and_without_its_charset(client, headers):
    assert (await client.post("/v1/adjustments", content=BODY, headers=headers)).status_code == 200


async def test_a_body_that_does_not_end_is_given_up_and_its_connection_closed(gateway, monkeypatch):
    assert BODY_WITHIN_S == 10
    monkeypatch.setattr("gateway.body_clock.BODY_WITHIN_S", 0.05)
    head = {"method": "POST", "path": "/v1/adjustments", "raw_path": b"/v1/adjustments", "query_string": b""}
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    pieces = iter([{"type": "http.request", "body": b"{", "more_body": True}])
    sent = []

    async def receive():
        piece = next(pieces, None)
        return piece or await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    await gateway.app({"type": "http", "headers": headers, "http_version": "1.1", **head}, receive, send)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["code"] == "request_timeout"


async def test_a_hundred_skus_may_be_asked_for_in_a_query_string_and_no_more(client):
    assert len((await client.get("/v1/availability", params={"sku": ["a"] * 100})).json()["items"]) == 100
    answer = await client.get("/v1/availability", params={"sku": ["a"] * 101})
    assert (answer.status_code, answer.json()["field"], answer.json()["problem"]) == (422, "sku", "too_long")


@pytest.mark.parametrize(
    "url", ["/v1/availability?sku=a&min_seq=", "/v1/warehouses?limit=", "/v1/promises?sku=a&channel=b&quantity="]
)
async def test_an_integer_has_sixteen_digits_at_most(client, url):
    answer = await client.get(f"{url}{'1'.rjust(17, '0')}")
    assert (answer.status_code, answer.json()["problem"]) == (422, "too_long")
    assert (await client.get(f"{url}{'0'.rjust(5000, '0')}")).status_code == 422
    assert (await client.get(f"{url}{'1'.rjust(16, '0')}")).status_code in {200, 504}


async def test_a_target_and_headers_have_a_limit(client):
    assert (await client.get("/v1/availability", params={"sku": ["a" * 64] * 100})).status_code == 200
    answer = await client.get(f"/v1/availability?sku={'a' * 8200}")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert "target" in answer.json()["detail"]
    answer = await client.get("/v1/availability?sku=a", headers={"x-much": "a" * 33_000})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert "headers" in answer.json()["detail"]


@pytest.mark.parametrize("depth", [33, 900, 1_000, 30_000])
@pytest.mark.parametrize("path", ["/v1/reservations", "/v1/availability", "/v1/reservations/r/commit"])
async def test_a_body_that_nests_as_deep_as_it_likes_is_refused_like_any_other(client, ledger, path, depth):
    for field in ("x", "command_id", "sku", "skus", "reservation_id", "type"):
        for closing in ("", "]" * depth + "}"):
            body = f'{{"sku":"H1","{field}":{"[" * depth}{closing}'
            answer = await client.post(path, content=body, headers={"Idempotency-Key": "k"})
            assert answer.status_code in {400, 422}
    assert ledger.commands == []


@pytest.mark.parametrize("dots", ["..", "."])
async def test_what_no_path_can_name_is_not_made(client, ledger, dots):
    for path, field, others in (("/v1/reservations", "reservation_id", {}), ("/v1/inbounds", "inbound_id", GOODS)):
        body = {"sku": "a", "quantity": 1, field: dots, **others}
        answer = await client.post(path, json=body, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["field"], answer.json()["problem"]) == (422, field, "not_allowed")
    answer = await client.post("/v1/reservations", json={"sku": "a", "quantity": 1}, headers={"Idempotency-Key": dots})
    assert (answer.status_code, answer.json()["field"]) == (422, "command_id")
    assert ledger.commands == []


async def test_what_is_made_is_found_at_its_location(client, ledger, helpers):
    answer = await client.post("/v1/reservations", json={"sku": "a b/ä", "quantity": 1, "reservation_id": "r:1"})
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/reservations/r:1?sku=a%20b%2F%C3%A4")
    await client.get(answer.headers["location"])
    assert (ledger.commands[-1]["reservation_id"], ledger.commands[-1]["sku"]) == ("r:1", "a b/ä")
    goods = {"sku": "a b", "inbound_id": "i1", "quantity": 1, **GOODS}
    answer = await client.post("/v1/inbounds", json=goods)
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/inbounds?sku=a%20b")
    assert (await client.get(answer.headers["location"])).status_code == 200
    ledger.answer = lambda command: helpers.result_of(command, code="insufficient_stock")
    answer = await client.post("/v1/reservations", json={"sku": "a", "quantity": 1})
    assert "location" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
async def test_every_path_says_which_methods_it_takes(client, path):
    url = url_of(path)
    answer = await client.options(url)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers
    assert answer.headers["allow"].split(", ") == methods_of(path)
    refused = await client.request("PATCH", url)
    assert (refused.status_code, refused.headers["allow"]) == (405, answer.headers["allow"])
    assert {"GET", "HEAD"} & {*methods_of(path)} in ({"GET", "HEAD"}, set())


@pytest.mark.parametrize("url", ["/v1/stock?sku=a", "/v1/availability?sku=a", "/openapi.json", "/docs", "/v1/stock"])
async def test_head_has_the_headers_of_get_and_no_body(client, url):
    ours = {"holdfast-request-id", "idempotency-key"}
    got, head = await client.get(url), await client.head(url)
    assert head.content == b""
    assert head.status_code == got.status_code
    assert {*head.headers.items()} - {*got.headers.items()} == {(n, v) for n, v in head.headers.items() if n in ours}


async def test_head_of_a_stream_opens_none(client):
    events = {"accept": "text/event-stream"}
    for _ in range(150):  # more than may be open
        answer = await client.head("/v1/status", headers=events)
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "text/event-stream", b"")
    assert "content-length" not in answer.headers
    assert (await client.head("/v1/stock?sku=a", headers=events)).headers["content-type"] == "application/json"
    bad = {"last-event-id": "x"}
    assert (await client.head("/v1/stock-changes", headers=bad)).status_code == 422


async def test_every_answer_carries_the_headers_that_keep_it_safe_and_an_id_of_its_own(client, ledger):
    ids = set()
    ledger.answer = lambda command: 1 / 0 if command["sku"] == "zero" else ledger.__class__().answer(command)
    for method, path in (
        *((route.method, url_of(route.path)) for route in ROUTES if route.answer != "text/event-stream"),
        ("GET", "/nowhere"),
        ("DELETE", "/v1/stock"),
        ("OPTIONS", "/v1/stock"),
        ("GET", "/v1/stock?sku=zero"),
    ):
        answer = await client.request(method, path)
        ids.add(answer.headers["holdfast-request-id"])
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers.get_list("cache-control") == ["no-store"] or answer.headers["cache-control"].startswith(
            ("private, no-cache", "public, max-age=31536000")
        )
        assert ("content-security-policy" in answer.headers) is answer.headers.get("content-type", "").startswith(
            "text/html"
        )
    assert len(ids) == len([route for route in ROUTES if route.answer != "text/event-stream"]) + 4
    assert max(map(len, ids)) <= 24


async def test_a_page_may_load_its_own_files_and_nothing_else(client):
    assert (await client.get("/docs")).headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert b"\n" not in PAGE_POLICY


@pytest.mark.parametrize(
    ("asked", "is_packed"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("GZIP;q=1.0,identity", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("br", False),
        ("identity", False),
        ("notgzip", False),
    ],
)
async def test_a_long_answer_is_packed_where_that_is_asked_for(client, asked, is_packed):
    body = {"skus": [f"s{number}" for number in range(1_000)]}
    plain = await client.post("/v1/availability", json=body, headers={"accept-encoding": "identity"})
    packed = await client.post("/v1/availability", json=body, headers={"accept-encoding": asked})
    assert packed.json() == plain.json()
    assert ("content-encoding" in packed.headers) is is_packed
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    shorter = int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 4
    assert shorter is is_packed
    short = await client.get("/v1/availability?sku=a", headers={"accept-encoding": asked})
    assert "content-encoding" not in short.headers


async def test_a_problem_names_no_broker_and_the_log_does_under_the_requests_id(client, ledger, capsys):
    ledger.error = KafkaUnavailable("KafkaConnectionError: broker-7.internal:9093 is away", command_id="k")
    answer = await client.post("/v1/adjustments", json=ADJUST)
    assert answer.status_code == 503
    assert "broker-7" not in answer.text
    assert "(" not in answer.json()["detail"]
    logged = capsys.readouterr()
    line = next(line for line in (logged.out + logged.err).splitlines() if "broker-7.internal:9093" in line)
    assert answer.headers["holdfast-request-id"] in line


async def test_a_failure_is_logged_under_the_requests_id_and_counted(client, ledger, capsys):
    ledger.error = ZeroDivisionError("secret")
    answer = await client.post("/v1/adjustments", json=ADJUST)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    logged = capsys.readouterr()
    text = logged.out + logged.err
    assert answer.headers["holdfast-request-id"] in text
    assert "ZeroDivisionError" in text
    assert metric((await client.get("/metrics")).text, "/v1/adjustments", 500) == 1


async def test_of_many_failures_in_one_second_some_are_logged_and_the_rest_counted(client, ledger, capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("gateway.endpoint.monotonic", lambda: now[0])
    ledger.error = KafkaUnavailable("broker-7 is away")
    for _ in range(50):
        await client.get("/v1/stock?sku=a")
    now[0] += 1
    await client.get("/v1/stock?sku=a")
    logged = capsys.readouterr()
    text = logged.out + logged.err
    assert text.count("broker-7 is away") == 21
    assert re.search(r"not_logged\W.*30", text)


async def test_what_no_route_answers_is_counted_too_under_one_label(client):
    for path in ("/a", "/b", "/v1/nowhere"):
        await client.get(path)
    await client.delete("/v1/stock")
    await client.options("/v1/stock")
    text = (await client.get("/metrics")).text
    assert (metric(text, "none", 404), metric(text, "none", 405), metric(text, "/v1/stock", 204)) == (3, 1, 1)
    assert "nowhere" not in text


@pytest.mark.parametrize("error", [ResultTimeout(command_id="k"), KafkaUnavailable("away", command_id="k")])
async def test_only_a_command_is_told_to_try_again_with_the_same_key(client, ledger, error):
    ledger.error = error
    assert "same key" in (await client.post("/v1/adjustments", json=ADJUST)).json()["detail"]
    for path in ("/v1/stock", "/v1/commands/k", "/v1/reservations/r", "/v1/backorders"):
        answer = await client.get(path, params={"sku": "a"})
        assert answer.status_code == error.status
        assert "ask again" in answer.json()["detail"]
        assert "key" not in answer.json()["detail"]


async def test_a_gateway_that_stops_tells_a_read_nothing_of_keys(client, gateway):
    gateway.stopping.set()
    assert "key" not in (await client.get("/v1/stock?sku=a")).json()["detail"]
    assert "same key" in (await client.post("/v1/adjustments", json=ADJUST)).json()["detail"]


async def test_two_gateways_never_give_two_requests_one_id(ledger):
    first, second = Gateway(GatewayConfig(), ledger), Gateway(GatewayConfig(), ledger)
    ids = []
    for gateway in (first, second):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway.app), base_url="http://localhost") as client:
            ids += [(await client.get("/health/live")).headers["holdfast-request-id"] for _ in range(3)]
    assert len(set(ids)) == 6
