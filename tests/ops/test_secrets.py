"""No secret reaches a log, wherever it stands in an event and whoever logs it."""

import subprocess
import sys

import pytest

from ops.secrets import drop_secrets

KEY = f"hf_shop_{'S3cret_-' * 5}abc"
TOKEN = f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.{'c2lnbmF0dXJl'}"
# Each plants secrets in another place.
CODE = f"""
import logging, structlog
from ops.logs import log_to_stderr
log_to_stderr()
log = structlog.get_logger()
key, token, password = {KEY!r}, {TOKEN!r}, "hunter2"
log.warning("came with " + key, authorization="Bearer " + token, sasl_plain_password=password, kept=1)
log.warning("headers", headers=[(b"authorization", b"Bearer " + key.encode()), (b"host", b"gateway")])
log.warning("nested", settings={{"a": [{{"client_secret": password}}, token]}}, kept=2)
logging.getLogger("a.library").warning("sent Authorization: Bearer %s and Basic aHVudGVyMg==", key)

class Request:
    def __repr__(self):
        return "<Request " + token + ">"

def fail(headers):
    raise ValueError("no good: " + key)

try:
    fail([(b"authorization", key), password])
except ValueError:
    log.exception("failed", request=Request(), kept=3)
    logging.getLogger("a.library").exception("failed too")
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_planted_secrets_are_in_no_log_of_the_run(form):
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env={"HOLDFAST_LOG": form}
    )
    assert not [secret for secret in (KEY, TOKEN, "hunter2", "aHVudGVyMg", "c2lnbmF0dXJl") if secret in done.stderr]
    for kept in ("hf_shop_(dropped)", "gateway", "ValueError", "kept", "failed too", "Traceback"):
        assert kept in done.stderr


def test_what_is_no_secret_stays_as_it_is():
    event = {"event": "a request failed", "path": "/v1/stock", "count": 3, "none": None, "list": [1, "two"]}
    assert drop_secrets(None, "", dict(event)) == event


@pytest.mark.parametrize("name", ["Authorization", "PASSWORD", "sasl_plain_password", "clientSecret", b"authorization"])
def test_a_field_is_dropped_by_its_name(name):
    assert drop_secrets(None, "", {name: "x", "event": "e"}) == {"event": "e"}
