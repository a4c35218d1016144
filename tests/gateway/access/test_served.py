"""A gateway as browsers and TLS clients meet it: over a socket, through granian."""

import asyncio
import contextlib
import json
import os
import shutil
import ssl

import httpx
import pytest
from playwright.async_api import async_playwright

from gateway import server as of_server
from gateway.access.config import AccessConfig, AccessError
from gateway.access.key_set import _MAX_BYTES, KeySet
from gateway.app import Gateway
from gateway.config import GatewayConfig
from gateway.in_hand import RequestsInHand
from ops.kafka.broker import free_port
from ops.kafka.certificates import ensure_certificates

CHROMIUM = shutil.which("chromium") or "no chromium"
ADJUST = {"sku": "85123A", "warehouse": "w", "delta": 77, "reason": "receipt"}


@contextlib.asynccontextmanager
async def serving(ledger, **access):
    """Serve a gateway over the fake ledger on a free port, and give the gateway."""
    gateway = Gateway(GatewayConfig(access=AccessConfig(**access), port=free_port()), ledger)
    gateway.reader.complete.set()
    gateway.rules_reader.complete.set()
    server = of_server._server(gateway.config, RequestsInHand(gateway.app), gateway.config.port)
    task = asyncio.ensure_future(server.serve())
    await of_server._answered(gateway.config.host, gateway.config.port)
    try:
        yield gateway
    finally:
        server.stop()
        await task


@contextlib.asynccontextmanager
async def page_server(body=b"<!doctype html><title>a page</title>", *, head=b"200 OK", tls=None):
    """Serve one page on a free port, as another site or program would, and give the port."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %b\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n%b" % (head, body))
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def browser():
    if not os.access(CHROMIUM, os.X_OK):
        # What a browser sends is tested without one too (test_every_route.py).
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", rules])
        yield browser
        await browser.close()


SEND = """async ([url, body, type, mode]) => {
    const headers = type ? {"content-type": type} : {};
    try { return (await fetch(url, {method: "POST", mode, headers, body})).status; } catch { return "refused"; }
}"""
FORM = """([url, body]) => {
    const form = Object.assign(document.createElement("form"), {method: "post", enctype: "text/plain", action: url});
    form.append(Object.assign(document.createElement("input"), {name: body, value: ""}));
    document.body.append(form);
    form.submit();
}"""


def count(gateway, status):
    lines = gateway.metrics.exposition().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if f'status="{status}"' in line and "_bucket" not in line)


async def until_refused(gateway, before):
    async with asyncio.timeout(10):
        while count(gateway, 403) == before:
            await asyncio.sleep(0.01)


async def test_no_page_of_another_site_can_change_stock_and_the_gateways_own_can(ledger, browser):
    body = json.dumps(ADJUST)
    async with serving(ledger) as gateway, page_server() as port:
        url = f"http://127.0.0.1:{gateway.config.port}/v1/adjustments"
        # Another site, and another program of the same machine.
        for origin in (f"http://localhost:{port}/", f"http://127.0.0.1:{port}/"):
            page = await browser.new_page()
            await page.goto(origin)
            before = count(gateway, 403)
            assert await page.evaluate(SEND, [url, body, "text/plain", "no-cors"]) in {0, "refused"}
            await until_refused(gateway, before)
            assert await page.evaluate(SEND, [url, body, "application/json", "cors"]) == "refused"
            before = count(gateway, 403)
            await page.evaluate(FORM, [url, body])
            await until_refused(gateway, before)
        assert ledger.commands == []
        page = await browser.new_page()
        await page.goto(f"http://127.0.0.1:{gateway.config.port}/health/live")
        assert await page.evaluate(SEND, [url, body, "application/json", "same-origin"]) == 200
        assert [command["delta"] for command in ledger.commands] == [77]


async def test_a_name_that_another_site_points_to_the_gateway_is_not_served(ledger, browser):
    async with serving(ledger) as gateway:
        page = await browser.new_page()
        at = f"http://evil.example:{gateway.config.port}"
        answer = await page.goto(f"{at}/health/live")
        assert answer.status == 200
        assert (
            await page.evaluate(SEND, [f"{at}/v1/adjustments", json.dumps(ADJUST), "application/json", "cors"]) == 421
        )
        assert ledger.commands == []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Return the certificates of an authority and of 127.0.0.1, and the latter's key."""
    folder = tmp_path_factory.mktemp("certificates")
    ensure_certificates(folder / "ca.pem", folder / "node.pem", "127.0.0.1")
    at = (pem := (folder / "node.pem").read_text()).index("-----BEGIN CERTIFICATE")
    (folder / "key.pem").write_text(pem[:at])
    (folder / "cert.pem").write_text(pem[at:])
    return folder


async def test_with_a_certificate_it_serves_tls_of_version_1_2_or_later_and_says_so_to_browsers(ledger, certificates):
    files = {"tls_cert": certificates / "cert.pem", "tls_key": certificates / "key.pem"}
    async with serving(ledger, **files) as gateway:
        url = f"https://127.0.0.1:{gateway.config.port}"
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            trusting = ssl.create_default_context(cafile=certificates / "ca.pem")
            trusting.maximum_version = trusting.minimum_version = version
            async with httpx.AsyncClient(verify=trusting, base_url=url) as client:
                answer = await client.post("/v1/adjustments", json=ADJUST)
                assert answer.status_code == 200
                assert answer.headers["strict-transport-security"] == "max-age=31536000"
        with pytest.raises(httpx.HTTPError):
            await httpx.AsyncClient().get(url.replace("https", "http") + "/health/live")


async def test_without_a_certificate_nothing_is_said_of_tls(client):
    assert "strict-transport-security" not in (await client.get("/health/live")).headers


@pytest.fixture
def issuer_tls(certificates):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    return tls


KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "one"}
SET = json.dumps({"keys": [KEY]}).encode()


async def test_a_key_set_is_fetched_over_https_from_an_issuer_with_a_certificate_that_holds(
    certificates, issuer_tls, monkeypatch
):
    async with page_server(SET, tls=issuer_tls) as port:
        key_set = KeySet(f"https://127.0.0.1:{port}/keys")
        with pytest.raises(AccessError, match="CERTIFICATE_VERIFY_FAILED"):
            await key_set.read()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
        await key_set.read()
        assert key_set.keys.keys() == {"one"}
    with pytest.raises(AccessError, match="cannot be read"):
        await key_set.read()
    assert key_set.keys.keys() == {"one"}


@pytest.mark.parametrize(
    ("head", "body", "reason"),
    [
        (b"302 Found\r\nlocation: http://127.0.0.1:1/", SET, "status 302"),
        (b"503 Away", SET, "status 503"),
        (b"200 OK", b" " * (_MAX_BYTES + 1) + SET, "is larger than"),
        (b"200 OK", b"<html>", "no key that can be used"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
async def test_what_is_no_key_set_is_not_taken(certificates, issuer_tls, monkeypatch, head, body, reason):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    async with page_server(body, head=head, tls=issuer_tls) as port:
        key_set = KeySet(f"https://127.0.0.1:{port}/keys")
        with pytest.raises(AccessError, match=reason):
            await key_set.read()
    assert key_set.keys == {}
