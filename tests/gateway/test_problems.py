"""The refusals: every code has a status and a sentence, as the contract says."""

import json

import pytest

from gateway.problems import REFUSALS, GatewayCode, check_refusals, problem_body
from schemas.codes import Code

CONTRACT = {
    "malformed": 400,
    "invalid_field": 422,
    "wrong_partition": 500,
    "idempotency_mismatch": 422,
    "unknown_sku": 404,
    "unknown_warehouse": 404,
    "unknown_reservation": 404,
    "unknown_inbound": 404,
    "reservation_exists": 409,
    "inbound_exists": 409,
    "reservation_committed": 409,
    "reservation_released": 409,
    "reservation_expired": 409,
    "quantity_exceeds_reservation": 409,
    "limit_exceeded": 409,
    "stale_count": 409,
    "as_of_too_old": 409,
    "stale_expectation": 409,
    "stale_version": 409,
    "inbound_closed": 409,
    "channel_not_allowed": 409,
    "warehouse_disabled": 409,
    "quantity_above_limit": 409,
    "channel_cap_exceeded": 409,
    "reservation_waiting": 409,
    "drift_above_tolerance": 409,
    "negative_stock": 409,
    "insufficient_stock": 409,
}


@pytest.mark.parametrize("code", list(Code) + list(GatewayCode))
def test_every_code_has_a_status_and_a_sentence(code):
    assert 400 <= REFUSALS[code].status < 600
    assert REFUSALS[code].text.endswith(".")


def test_a_code_without_status_and_sentence_is_named():
    others = {code: refusal for code, refusal in REFUSALS.items() if code is not Code.UNKNOWN_SKU}
    with pytest.raises(RuntimeError, match=r"for Code\.UNKNOWN_SKU$"):
        check_refusals(others)


def test_the_codes_of_the_contract_have_its_statuses():
    assert {code.value: REFUSALS[code].status for code in Code} == CONTRACT


def test_a_problem_document_has_the_members_of_rfc_9457_and_the_code():
    problem = json.loads(problem_body(Code.INSUFFICIENT_STOCK, result=b'{"seq":3}'))
    assert problem == {
        "type": "urn:holdfast:problem:insufficient_stock",
        "title": "Insufficient stock",
        "status": 409,
        "detail": "Less is available than requested.",
        "code": "insufficient_stock",
        "result": {"seq": 3},
    }
