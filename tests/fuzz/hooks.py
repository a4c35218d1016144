"""Owns what schemathesis is told about this service; it runs in schemathesis' own process.

Waits are cut short, and a few refusals of data that fits the document are right: those of rules that no JSON schema can
say.
"""

import json
import re

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData

MOST_WAIT_MS = 20
MOST_DIGITS = 17
# Refusals by their code and a part of `detail`.
RIGHT = [
    ("idempotency_mismatch", ""),  # another content under a key that was used
    ("invalid_field", "cursor must be `next` of an answer"),
    ("invalid_field", "differs from that of the path or header"),
    ("invalid_field", "must be another"),  # warehouse, or bucket
    ("invalid_field", "min_seq is allowed with one SKU only"),
    ("invalid_field", "promise_by is allowed only with wait inbound"),
    ("invalid_field", "must not both be 0 unless final is true"),
    ("invalid_field", "is needed"),
    ("invalid_field", "exclude each other"),
]
# JSON schema calls 3.0 an integer.
_WHOLE_FRACTION = re.compile(r": -?\d+\.0 is of another type")


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Let no request wait: neither for a command that nobody sends, nor for a change that does not come."""
    query = case.query if isinstance(case.query, dict) else {}
    if _is_above(query.get("wait_ms"), MOST_WAIT_MS):
        query["wait_ms"] = MOST_WAIT_MS
    for holder in (query, case.body if isinstance(case.body, dict) else {}):
        if _is_above(holder.get("min_seq"), 0):
            holder["min_seq"] = 0


def _is_above(value, most):
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < MOST_DIGITS:
        value = int(value)
    return isinstance(value, int) and not isinstance(value, bool) and value > most


@schemathesis.hook
def filter_failure(_context, failure: Failure, _case, response):
    """Return whether a failure counts."""
    if not isinstance(failure, RejectedPositiveData | AcceptedNegativeData):
        return True
    try:
        problem = json.loads(response.content)
    except ValueError:
        return True
    if isinstance(failure, AcceptedNegativeData):
        # A list is accepted, and the item that is wrong has its problem.
        return not any("problem" in item for item in problem.get("results", ()) if isinstance(item, dict))
    code, detail = problem.get("code"), problem.get("detail", "")
    if code == "invalid_field" and _WHOLE_FRACTION.search(detail):
        return False
    return not any(code == right and part in detail for right, part in RIGHT)
