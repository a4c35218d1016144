"""All that a gateway prints in its life, while callers put keys and tokens wherever they should not be."""

import asyncio
import json
import os
import signal
import sys

import httpx

from ops.kafka.broker import free_port

CODE = """
import sys
from pathlib import Path
from gateway.access.config import AccessConfig
from gateway.config import GatewayConfig
from gateway.server import run
from ops.logs import log_to_stderr
log_to_stderr()
access = AccessConfig(keys_file=Path(sys.argv[2]))
run(GatewayConfig(bootstrap="127.0.0.1:1", port=int(sys.argv[1]), access=access, drain_ms=0))
"""
TOKEN = f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.{'c2lnbmF0dXJl'}"


async def raw(port, request):
    """Send bytes, and leave."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    writer.close()


async def test_no_key_and_no_token_is_in_anything_that_a_gateway_prints(kit, tmp_path):
    key, wrong = kit.key("a"), kit.key("a")
    kit.write_keys(tmp_path / "keys.json", [kit.entry(key, scopes=["admin"])])
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", CODE, str(port), str(tmp_path / "keys.json")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOLDFAST_LOG": "text"},
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        async with asyncio.timeout(60):
            while True:
                try:
                    await client.get("/health/live")
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.1)
        statuses = set()
        for secret in (key, wrong, TOKEN):
            headers = {"authorization": f"Bearer {secret}"}
            for path in ("stock?sku=s", f"stock?sku={secret}", f"stock?{secret}=1", secret, f"commands/{secret}?sku=s"):
                statuses.add((await client.get(f"/v1/{path}", headers=headers)).status_code)
            body = json.dumps({"sku": secret, secret: secret})
            statuses.add((await client.post("/v1/adjustments", headers=headers, content=body)).status_code)
            statuses.add(
                (await client.post("/v1/adjustments", headers=headers | {"idempotency-key": secret})).status_code
            )
            await raw(port, f"GET {secret} HTTP/9\r\nauthorization: Bearer {secret}\r\n".encode())
            await raw(port, f"GET / HTTP/1.1\r\nauthorization Bearer {secret}\r\n\r\n".encode())
            await raw(
                port, f"POST /v1/adjustments HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n\r\n".encode()
            )
        (tmp_path / "keys.json").write_text(json.dumps({"keys": [{"id": "a", "secret": key}]}))
        async with asyncio.timeout(30):
            while "credentials_stale" not in (await client.get("/health/ready")).text:
                await asyncio.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    printed = b"".join(await process.communicate()).decode()
    assert 401 in statuses
    assert "credentials cannot be read" in printed
    for secret in (key, wrong, TOKEN):
        assert secret[-20:] not in printed
