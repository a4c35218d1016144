"""The page at /docs, in a real browser: it shows every route, sends a request with a key, and loads nothing else."""

import hashlib
import json
import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from gateway.access.keys import new_key
from gateway.routes.table import ROUTES
from tests.gateway.alone import gateway_alone


@pytest.fixture(scope="module")
def key():
    return new_key("docs")[0]


@pytest.fixture(scope="module")
def site(key, tmp_path_factory):
    file = tmp_path_factory.mktemp("docs") / "keys.json"
    entry = {"id": "docs", "sha256": hashlib.sha256(key.encode()).hexdigest(), "scopes": ["admin"]}
    file.write_text(json.dumps({"keys": [entry]}))
    file.chmod(0o600)
    with gateway_alone(file) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, site):
    page = browser.new_page()
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda line: page.complaints.append(line.text) if line.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(f"{site}/docs")
    expect(page.locator(".opblock").first).to_be_visible()
    yield page
    page.close()


def test_the_page_shows_every_route_and_complains_of_nothing(page, site):
    assert page.locator(".opblock").count() == len(ROUTES)
    shown = {" ".join(text.split()) for text in page.locator(".opblock-summary-path").all_inner_texts()}
    assert {text.replace("\u200b", "") for text in shown} == {route.path for route in ROUTES}
    assert page.complaints == []
    assert {url.split("/docs/")[0].removesuffix("/docs") for url in page.asked if not url.startswith("data:")} <= {
        site,
        f"{site}/openapi.json",
    }


def test_a_key_that_is_typed_in_is_sent_with_a_command(page, key):
    page.locator("button.authorize").first.click()
    page.locator(".auth-container input").fill(key)
    page.locator(".auth-btn-wrapper button.authorize").click()
    page.locator(".auth-btn-wrapper button.btn-done").click()
    block = page.locator("#operations-commands-post_v1_reservations")
    block.locator(".opblock-summary").click()
    block.locator(".try-out__btn").click()
    block.locator("textarea.body-param__text").fill('{"sku": "A", "quantity": 2}')
    block.locator("button.execute").click()
    answer = block.locator(".live-responses-table .response-col_status").nth(1)
    expect(answer).to_contain_text("201")
    expect(block.locator(".live-responses-table")).to_contain_text('"source": "key/docs"')
    assert page.complaints == []


def test_without_a_key_the_page_says_what_is_missing(page):
    block = page.locator("#operations-reads-get_v1_stock")
    block.locator(".opblock-summary").click()
    block.locator(".try-out__btn").click()
    block.locator('tr[data-param-name="sku"] input').fill("A")
    block.locator("button.execute").click()
    expect(block.locator(".live-responses-table")).to_contain_text("unauthenticated")
