"""The routes, over a fake ledger: what is sent, and how each answer looks."""

import json
import re
import time

import msgspec
import pytest

from gateway.availability import Change
from gateway.config import GatewayConfig
from gateway.problems import KafkaUnavailable, ResultTimeout, TooManyRequests
from schemas.codes import Code

ADJUST = {"sku": "85123A", "warehouse": "leeds", "delta": 5, "reason": "receipt"}
GOODS = {"sku": "85123A", "warehouse": "leeds", "quantity": 2}
COMMANDS = [
    ("/v1/adjustments", ADJUST, "adjust", 200),
    ("/v1/reservations", {"sku": "85123A", "quantity": 3}, "reserve", 201),
    ("/v1/reservations/cart-77/commit", {"sku": "85123A"}, "commit", 200),
    ("/v1/reservations/cart-77/release", {"sku": "85123A"}, "release", 200),
    ("/v1/reservations/cart-77/extend", {"sku": "85123A", "ttl_ms": 1}, "extend", 200),
    ("/v1/returns", {**GOODS, "disposition": "inspect", "reservation_id": "cart-77"}, "return", 200),
    ("/v1/moves", {**GOODS, "from": "quarantine", "to": "on_hand"}, "move", 200),
    ("/v1/transfers", {"sku": "85123A", "quantity": 2, "from": "leeds", "to": "york"}, "transfer", 200),
    ("/v1/reconciliations", {"sku": "85123A", "warehouse": "leeds", "counted_on_hand": 9}, "reconcile", 200),
]


@pytest.mark.parametrize(("path", "body", "type_", "status"), COMMANDS)
async def test_a_command_is_sent_and_its_result_is_the_answer(client, ledger, path, body, type_, status):
    answer = await client.post(path, json=body, headers={"Idempotency-Key": "k-1"})
    sent = ledger.commands[0]
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["idempotency-key"] == "k-1"
    assert answer.json() == ledger.answer(sent)
    assert (sent["command_id"], sent["type"], sent["sku"]) == ("k-1", type_, "85123A")
    in_path = {"reservation_id": "cart-77"} if path.startswith("/v1/reservations/") else {}
    made = {"reservation_id": "k-1"} if path == "/v1/reservations" else {}
    assert sent == {"command_id": "k-1", "type": type_, **body, **in_path, **made}


async def test_a_replayed_result_has_the_originals_status(client, ledger, helpers):
    ledger.answer = lambda command: helpers.result_of(command, replayed=True)
    answer = await client.post("/v1/reservations", json={"sku": "a", "quantity": 1})
    assert answer.status_code == 201
    ledger.answer = lambda command: helpers.result_of(command, replayed=True, code="insufficient_stock")
    answer = await client.post("/v1/reservations", json={"sku": "a", "quantity": 1})
    assert answer.status_code == 409


async def test_a_key_is_made_and_returned_when_there_is_none(client, ledger):
    answer = await client.post("/v1/adjustments", json=ADJUST)
    assert answer.headers["idempotency-key"] == ledger.commands[0]["command_id"]


@pytest.mark.parametrize("code", list(Code))
async def test_a_refusal_is_a_problem_document_that_carries_the_result(client, ledger, helpers, code):
    ledger.answer = lambda command: helpers.result_of(command, code=code.value, requested=3, available=1)
    answer = await client.post("/v1/reservations", json={"sku": "a", "quantity": 3}, headers={"Idempotency-Key": "k"})
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["idempotency-key"] == "k"
    assert (problem["status"], problem["code"]) == (answer.status_code, code.value)
    assert answer.headers["link"] == '</docs>; rel="help"'
    assert problem["result"] == ledger.answer(ledger.commands[0])


async def test_a_return_on_behalf_of_channels_carries_them_as_a_commit_does(client, ledger):
    mine = {"sku": "85123A", "channels": ["web", "app"]}
    await client.post("/v1/reservations/cart-77/commit", json=mine)
    await client.post("/v1/returns", json=GOODS | mine | {"disposition": "restock", "reservation_id": "cart-77"})
    assert [sent["channels"] for sent in ledger.commands] == [["web", "app"]] * 2


async def test_insufficient_stock_says_how_much_there_is(client, ledger, helpers):
    ledger.answer = lambda command: helpers.result_of(command, code="insufficient_stock", requested=3, available=1)
    answer = await client.post("/v1/reservations", json={"sku": "a", "quantity": 3})
    assert answer.json()["detail"] == "3 requested, 1 available."


async def test_a_body_that_the_ledger_would_refuse_is_never_sent(client, ledger):
    answer = await client.post("/v1/reservations", json={"sku": "a", "quantity": 0}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "invalid_field", "quantity")
    assert answer.headers["idempotency-key"] == "k"
    answer = await client.post("/v1/reservations", content=b"[1]")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert ledger.commands == []


async def test_a_body_over_the_limit_is_refused_whether_its_length_was_announced_or_not(client, ledger):
    async def chunks():
        for _ in range(3):
            yield b" " * 30_000

    for content in (b" " * 65_537, chunks()):
        answer = await client.post("/v1/adjustments", content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert ledger.commands == []


async def test_a_body_in_pieces_is_put_together(client):
    whole = json.dumps(ADJUST).encode()

    async def pieces():
        yield whole[:20]
        yield whole[20:]

    assert (await client.post("/v1/adjustments", content=pieces())).status_code == 200


async def test_an_async_request_is_answered_when_kafka_has_the_command(client, ledger):
    headers = {"Idempotency-Key": "k", "Prefer": "wait=5, respond-async"}
    answer = await client.post("/v1/reservations", json={"sku": "a b/ä", "quantity": 1}, headers=headers)
    location = "/v1/commands/k?sku=a%20b%2F%C3%A4"
    assert answer.status_code == 202
    assert answer.json() == {"command_id": "k", "location": location}
    assert answer.headers["location"] == location
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["holdfast-command-id"] == answer.headers["idempotency-key"] == "k"
    assert ledger.posted[0]["sku"] == "a b/ä"
    assert ledger.commands == []
    await client.get(location)
    assert ledger.commands[0]["sku"] == "a b/ä"


async def test_reads_are_queries(client, ledger):
    assert (await client.get("/v1/stock", params={"sku": "a/b c"})).status_code == 200
    assert (await client.get("/v1/reservations/r:1", params={"sku": "a"})).status_code == 200
    stock, reservation = ledger.commands
    assert (stock["type"], stock["sku"]) == ("query", "a/b c")
    assert (reservation["type"], reservation["reservation_id"]) == ("query", "r:1")


async def test_the_result_of_a_command_is_the_one_inside_the_querys(client, ledger, helpers):
    original = helpers.result_of({"command_id": "k", "type": "reserve", "sku": "a"}, code="insufficient_stock")
    ledger.answer = lambda command: helpers.result_of(command, of_command=original)
    answer = await client.get("/v1/commands/k", params={"sku": "a"})
    assert (answer.status_code, answer.json()) == (200, original)
    assert ledger.commands[0]["of_command_id"] == "k"


async def test_a_command_that_is_not_remembered_is_not_found(client, ledger, helpers):
    ledger.answer = lambda command: helpers.result_of(command, of_command=None)
    answer = await client.get("/v1/commands/k", params={"sku": "a"})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_command")


QUERIES = [
    ("/v1/stock", "sku"),
    ("/v1/stock?sku=a&sku=b", "sku"),
    ("/v1/stock?sku=", "sku"),
    ("/v1/stock?sku=a%0A", "sku"),
    ("/v1/stock?sku=a&colour=red", "colour"),
    ("/v1/reservations/a%20b?sku=a", "reservation_id"),
    ("/v1/availability", "sku"),
    ("/v1/availability?sku=a&min_seq=x", "min_seq"),
    ("/v1/availability?sku=a&min_seq=-1", "min_seq"),
    pytest.param(f"/v1/availability?sku=a&min_seq={'9' * 5000}", "min_seq", id="5,000 digits"),
    ("/v1/availability?sku=a&sku=b&min_seq=1", "min_seq"),
    ("/v1/availability?sku=a&channel=a%20b", "channel"),
    ("/v1/availability?sku=a%0A", "sku[0]"),
]


@pytest.mark.parametrize(("url", "field"), QUERIES)
async def test_a_query_string_is_read_as_strictly_as_a_body(client, ledger, url, field):
    answer = await client.get(url)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "invalid_field", field)
    assert ledger.commands == []


async def test_a_query_string_that_is_no_utf_8_is_malformed(client):
    answer = await client.get("/v1/stock?sku=%ff")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


ERRORS = [
    (TooManyRequests(3, command_id="k"), 429, "1", None),
    (KafkaUnavailable("no broker answers", command_id="k"), 503, "1", "k"),
    (ResultTimeout(command_id="k"), 504, None, "k"),
]


@pytest.mark.parametrize(("error", "status", "retry_after", "command_id"), ERRORS)
async def test_what_keeps_a_result_from_coming_is_said_with_what_to_do(
    client, ledger, error, status, retry_after, command_id
):
    ledger.error = error
    for prefer in ("", "respond-async"):
        headers = {"Idempotency-Key": "k", "Prefer": prefer}
        answer = await client.post("/v1/adjustments", json=ADJUST, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, error.code.value)
        assert answer.headers.get("retry-after") == retry_after
        assert answer.headers.get("holdfast-command-id") == command_id
        assert answer.headers["idempotency-key"] == "k"


def put(gateway, *changes):
    for document in changes:
        gateway.view.apply(msgspec.convert(document, Change))


async def test_availability_is_answered_from_the_view(client, gateway, helpers):
    put(
        gateway,
        helpers.change_of("a", "york", 1, on_hand=10, reserved=4),
        helpers.change_of("a", "bath", 2, on_hand=1, reserved=3),
    )
    expected = {
        "items": [
            {
                "sku": "a",
                "available": 6,
                "seq": 2,
                "at": 1_764_000_000_002,
                "stock": [
                    {
                        "warehouse": warehouse,
                        "on_hand": on_hand,
                        "reserved": reserved,
                        "damaged": 0,
                        "safety_stock": 0,
                        "inbound": 0,
                        "available": on_hand - reserved,
                    }
                    for warehouse, on_hand, reserved in (("bath", 1, 3), ("york", 10, 4))
                ],
            },
            {"sku": "x", "available": 0, "seq": 0, "at": None, "stock": []},
        ],
        "lag": 0,
        "lag_ms": 0,
    }
    by_get = await client.get("/v1/availability?sku=a&sku=x")
    by_post = await client.post("/v1/availability", json={"skus": ["a", "x"]})
    assert by_get.status_code == by_post.status_code == 200
    assert by_get.json() == by_post.json() == expected


async def test_availability_may_be_asked_of_a_thousand_skus_and_no_more(client):
    answer = await client.post("/v1/availability", json={"skus": ["s"] * 1000})
    assert len(answer.json()["items"]) == 1000
    for skus in (["s"] * 1001, []):
        answer = await client.post("/v1/availability", json={"skus": skus})
        assert (answer.status_code, answer.json()["field"]) == (422, "skus")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"skus": ["a", "b\n"]}, 422, "skus[1]"),
        ({"skus": ["a", 3]}, 422, "skus[1]"),
        ({"skus": ["a"], "colour": 1}, 422, "colour"),
        ({"skus": ["a"], "min_seq": 1.5}, 422, "min_seq"),
        ([], 400, None),
    ],
)
async def test_an_availability_body_is_read_strictly(client, body, status, field):
    answer = await client.post("/v1/availability", json=body)
    assert (answer.status_code, answer.json().get("field")) == (status, field)


async def test_min_seq_that_does_not_come_in_time_is_said(client, gateway, helpers):
    put(gateway, helpers.change_of("a", "york", 1, on_hand=10))
    assert (await client.get("/v1/availability?sku=a&min_seq=1")).status_code == 200
    for min_seq in ("2", f"{'0' * 15}2", str(2**53 - 1)):
        answer = await client.get(f"/v1/availability?sku=a&min_seq={min_seq}")
        assert (answer.status_code, answer.json()["code"]) == (504, "view_behind")


@pytest.mark.parametrize("digits", [17, 18, 19, 20, 30, 4300, 4301, 5000])
async def test_what_is_said_of_a_min_seq_is_true_however_many_digits_it_has(client, digits):
    allowed = "min_seq must be an integer from 0 to 9,007,199,254,740,991: "
    for number, problem in ((int("9" * 17), "large"), (-int("9" * 17), "small")):
        text = str(number) + "9" * (digits - 17)
        body = f'{{"skus":["a"],"min_seq":{text}}}'
        for answer in (
            await client.get(f"/v1/availability?sku=a&min_seq={text}"),
            await client.post("/v1/availability", content=body),
        ):
            assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
                422,
                "invalid_field",
                "min_seq",
            )
            assert answer.json()["detail"].startswith(allowed + text[:40])
            assert answer.json()["detail"].endswith(f" is too {problem}.")


async def test_a_min_seq_that_is_no_integer_is_of_another_type(client):
    for text in ("1e3", "x", "1.5", "", "+1"):
        answer = await client.get("/v1/availability", params={"sku": "a", "min_seq": text})
        assert answer.json()["detail"].endswith(f'"{text}" is of another type.')
    answer = await client.post("/v1/availability", content=b'{"skus":["a"],"min_seq":1e400}')
    assert answer.json()["detail"].endswith(": 1e400 is too large.")
    answer = await client.post("/v1/availability", content=b'{"skus":["a"],"min_seq":-1,')
    assert answer.json()["detail"].endswith(": what was given is too small.")


LONG = "9" * 5000
LONG_QUERIES = [
    (f"/v1/stock?sku={LONG}", "sku"),
    (f"/v1/availability?sku={LONG}", "sku[0]"),
    (f"/v1/availability?sku=a&channel={LONG}", "channel"),
    (f"/v1/reservations/{LONG}?sku=a", "reservation_id"),
    (f"/v1/commands/{LONG}?sku=a", "of_command_id"),
    (f"/v1/stock?sku=a&{LONG}=1", LONG[:64]),
]


@pytest.mark.parametrize(("url", "field"), LONG_QUERIES, ids=[field for _, field in LONG_QUERIES])
async def test_5000_digits_in_a_query_string_are_refused_in_a_short_sentence(client, url, field):
    answer = await client.get(url)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "invalid_field", field)
    assert len(answer.json()["detail"]) < 200


async def test_a_length_of_5000_digits_is_too_large_and_zeros_before_a_length_count_nothing(client):
    answer = await client.post("/v1/availability", content=b"", headers={"content-length": LONG})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    body = b'{"skus":["a"]}'
    answer = await client.post("/v1/availability", content=body, headers={"content-length": f"{'0' * 5000}{len(body)}"})
    assert answer.status_code == 200


async def test_as_many_skus_as_may_be_asked_for_fit_in_a_body_whatever_characters_they_have(client):
    for character in ("a", "\N{EURO SIGN}", "\N{PACKAGE}"):
        skus = [f"{number:04}{character * 60}" for number in range(1000)]
        answer = await client.post("/v1/availability", content=json.dumps({"skus": skus}, ensure_ascii=False).encode())
        assert answer.status_code == 200
        assert [item["sku"] for item in answer.json()["items"]] == skus
        escaped = await client.post("/v1/availability", content=json.dumps({"skus": skus}).encode())
        assert escaped.status_code == (200 if character == "a" else 413)


async def test_availability_is_not_answered_before_the_view_is_whole(client, gateway):
    gateway.reader.complete.clear()
    answer = await client.get("/v1/availability?sku=a")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "view_not_ready", "1")


async def test_health_says_that_the_process_runs(client):
    assert (await client.get("/health/live")).json() == {"status": "live"}


async def test_metrics_count_requests_by_route_and_status(client, ledger):
    ledger.in_flight = 3
    await client.post("/v1/adjustments", json=ADJUST)
    await client.post("/v1/adjustments", json={})
    await client.post("/v1/reservations/r/commit", json={"sku": "a"})
    text = (await client.get("/metrics")).text
    assert 'holdfast_gateway_requests_total{route="/v1/adjustments",status="200"} 1.0' in text
    assert 'holdfast_gateway_requests_total{route="/v1/adjustments",status="422"} 1.0' in text
    assert 'holdfast_gateway_request_seconds_count{route="/v1/reservations/{id}/commit"} 1.0' in text
    assert "holdfast_gateway_in_flight 3.0" in text
    assert "holdfast_gateway_kafka_connected 1.0" in text


async def test_metrics_tell_how_old_the_counts_of_each_feed_are_in_the_partition_that_is_furthest(client, gateway):
    now_ms = time.time_ns() // 1_000_000
    for partition, hours in ((0, 30), (1, 6)):
        feed = {"kind": "feed", "id": "wms", "version": 30 - hours, "command_id": "c", "at": now_ms, "rows": 1}
        state = feed | {"as_of_at": now_ms - hours * 3_600_000, "interval_ms": 86_400_000, "refused": 0}
        gateway.rules.apply(partition, b"feed/wms", json.dumps(state).encode())
    text = (await client.get("/metrics")).text
    (age,) = re.findall(r'^holdfast_feed_age_seconds{feed="wms"} (.+)$', text, re.MULTILINE)
    assert 6 * 3600 <= float(age) < 6 * 3600 + 60
    assert 'holdfast_feed_interval_seconds{feed="wms"} 86400.0' in text


async def test_what_is_no_route_is_a_problem_too(client):
    answer = await client.get("/v2")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"
    answer = await client.get("/v1/adjustments")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


async def test_every_problem_of_the_gateway_itself_leads_to_the_description_too(client, ledger):
    ledger.error = ZeroDivisionError("secret")
    for method, path, status in (
        ("GET", "/v2", 404),
        ("GET", "/v1/adjustments", 405),
        ("GET", "/v1/stock", 422),
        ("GET", "/v1/stock?sku=a", 500),
    ):
        answer = await client.request(method, path)
        assert (answer.status_code, answer.headers["link"]) == (status, '</docs>; rel="help"')


async def test_a_failure_of_the_gateway_is_a_problem_without_its_insides(client, ledger):
    ledger.error = ZeroDivisionError("secret")
    answer = await client.post("/v1/adjustments", json=ADJUST)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


def test_a_bound_of_the_contract_is_the_default():
    config = GatewayConfig()
    assert (config.port, config.max_in_flight, config.max_availability_skus) == (8080, 10_000, 1_000)


UNITS = "an integer from 1 to 1,000,000,000"
PLACE = "a string of 1 to 32 characters (letters (a-z, A-Z), digits and . _ -)"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"sku": "a"}, f"quantity is missing; it must be {UNITS}."),
        ({"sku": "a", "quantity": 0}, f"quantity must be {UNITS}: 0 is too small."),
        ({"sku": "a", "quantity": 1, "channel": "a b"}, f'channel must be {PLACE}: "a b" has characters that'),
        ({"sku": "a", "quantity": 1, "colour": "red"}, "reserve has no field colour; its fields are reservation_id, "),
    ],
)
async def test_a_field_that_is_wrong_is_explained(client, body, detail):
    answer = await client.post("/v1/reservations", json=body)
    assert answer.json()["detail"].startswith(detail)


async def test_a_field_that_only_the_ledger_finds_wrong_is_explained_too(client, ledger, helpers):
    ledger.answer = lambda command: helpers.result_of(
        command, code="invalid_field", field="quantity", problem="too_large"
    )
    answer = await client.post("/v1/reservations", json={"sku": "a", "quantity": 7})
    assert answer.json()["detail"].startswith(f"quantity must be {UNITS}: 7 is too large.")
    assert answer.json()["field"] == "quantity"


async def test_availability_explains_what_it_calls_the_field_itself(client):
    by_get = await client.get("/v1/availability?sku=a&sku=b%0A")
    by_post = await client.post("/v1/availability", json={"skus": ["a", "b\n"]})
    sentence = ' must be a string of 1 to 64 characters (anything but control characters): "b\\n" has characters that'
    assert by_get.json()["detail"].startswith("sku[1]" + sentence)
    assert by_post.json()["detail"].startswith("skus[1]" + sentence)
    missing = await client.post("/v1/availability", json={})
    assert missing.json()["detail"].startswith("skus is missing; it must be a list, each a string")


BAD_KEY, LONG_KEY = {"Idempotency-Key": "a b"}, {"Idempotency-Key": "a" * 65}
OTHER_ID = {"sku": "a", "reservation_id": "s"}


@pytest.mark.parametrize(
    ("method", "url", "given", "field", "problem"),
    [
        ("GET", "/v1/stock", {}, "sku", "missing"),
        ("GET", "/v1/stock?sku=a&colour=red", {}, "colour", "unknown_field"),
        ("GET", "/v1/stock?sku=a&sku=b", {}, "sku", "not_allowed"),
        ("GET", "/v1/stock?sku=", {}, "sku", "too_small"),
        ("GET", "/v1/availability?sku=a&min_seq=x", {}, "min_seq", "wrong_type"),
        ("GET", "/v1/availability?sku=a&sku=b&min_seq=1", {}, "min_seq", "not_allowed"),
        ("GET", "/v1/stock-changes", {"headers": {"Last-Event-ID": "x"}}, "Last-Event-ID", "not_allowed"),
        ("POST", "/v1/availability", {"json": {"skus": []}}, "skus", "too_small"),
        ("POST", "/v1/availability", {"json": {"skus": ["a"] * 1_001}}, "skus", "too_long"),
        ("POST", "/v1/adjustments", {"json": ADJUST, "headers": BAD_KEY}, "command_id", "bad_characters"),
        ("POST", "/v1/adjustments", {"json": ADJUST, "headers": LONG_KEY}, "command_id", "too_long"),
        ("POST", "/v1/adjustments", {"json": ADJUST | {"type": "adjust"}}, "type", "not_allowed"),
        ("POST", "/v1/adjustments", {"json": ADJUST | {"delta": "1"}}, "delta", "wrong_type"),
        ("POST", "/v1/reservations/r/commit", {"json": OTHER_ID}, "reservation_id", "not_allowed"),
    ],
)  # fmt: skip
async def test_a_request_that_is_refused_for_a_field_says_what_is_wrong_with_it(
    client, method, url, given, field, problem
):
    answer = await client.request(method, url, **given)
    said = answer.json()
    assert (answer.status_code, said["code"], said["field"], said.get("problem")) == (
        422, "invalid_field", field, problem,
    )  # fmt: skip
