"""Runs a whole gateway process without Kafka: granian, the routes, and a ledger that answers at once."""

import contextlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from ops.kafka.broker import free_port

CODE = """
import json, sys
from pathlib import Path
from gateway import server
from gateway.access.config import AccessConfig
from gateway.app import Gateway
from gateway.config import GatewayConfig
from gateway.loads import Loads
from gateway.pending import Answer, _head_of
from ops.logs import log_to_stderr

class PromptLedger:
    unavailable, in_flight, loads = None, 0, Loads(4, 1_000)

    async def ask(self, command):
        document = json.dumps({"command_id": command.command_id, "status": "accepted", "code": None, "offset": 1,
            "sent": json.loads(command.value)}).encode()
        return Answer(_head_of(document), document)

    post = ask

class GatewayAlone(Gateway):
    def __init__(self, config, **events):
        super().__init__(config, PromptLedger(), **events)
        self.reader.complete.set()
        self.rules_reader.complete.set()

server.Gateway = GatewayAlone
log_to_stderr()
port, keys_file = sys.argv[1:]
access = AccessConfig(keys_file=Path(keys_file)) if keys_file else AccessConfig()
server.run(GatewayConfig(bootstrap="127.0.0.1:1", port=int(port), access=access, drain_ms=0))
"""


@contextlib.contextmanager
def gateway_alone(keys_file="", *, first=""):
    """Run a gateway for as long as the block lasts, and return its port.

    Args:
        keys_file: its credentials; open without.
        first: what its process runs at the very beginning.
    """
    port = free_port()
    command = [sys.executable, "-c", first + CODE, str(port), str(keys_file)]
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            while not _answers(port):
                assert process.poll() is None, _text_of(log)
                time.sleep(0.05)
            yield port
            process.terminate()
            assert process.wait(timeout=15) == 0, _text_of(log)
            assert "Traceback" not in _text_of(log)
        finally:
            process.kill()


def _text_of(log):
    log.seek(0)
    return log.read()


def _answers(port):
    with contextlib.suppress(OSError, urllib.error.URLError):
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=5).status == 200
    return False
