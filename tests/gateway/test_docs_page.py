"""The page at /docs, in a real browser, shows every route and every document of the OpenAPI document."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gateway.docs_page import PAGE
from gateway.openapi import openapi_document
from tests.browser import dom_of

PAGES = {"/docs": ("text/html", PAGE), "/openapi.json": ("application/json", openapi_document())}


class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        media, body = PAGES.get(self.path, ("text/plain", b""))
        self.send_response(200 if body else 404)
        self.send_header("content-type", media)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_page_shows_every_route_and_document(site, tmp_path):
    dom = dom_of(f"{site}/docs", tmp_path)
    document = json.loads(openapi_document())
    assert "docs/contract.md" in dom
    for path, methods in document["paths"].items():
        assert dom.count(f"<code>{path}</code>") >= len(methods), path
    for name in document["components"]["schemas"]:
        assert f'id="schema-{name}"' in dom
