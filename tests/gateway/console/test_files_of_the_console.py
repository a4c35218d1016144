"""The console's files come from the gateway alone, under names that change with them, and a wheel would hold them."""

import re
import tomllib
from pathlib import Path

import httpx
import pytest

from gateway.app import Gateway
from gateway.config import GatewayConfig
from gateway.console.files import files_of_the_console

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "gateway/console"
FILES = files_of_the_console()
SCRIPTS = {name: content.decode() for name, content in FILES.items() if name.endswith(".js")}
MOST_LINES = 500


@pytest.fixture
async def browser():
    app = Gateway(GatewayConfig(), ledger=object()).app
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


async def test_the_page_names_files_that_are_there_and_may_be_kept_for_a_year(browser):
    page = await browser.get("/console")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:href|src)="(/[^"]+)"', page.text)
    assert len(named) >= 4
    for path in named:
        answer = await browser.get(path)
        assert answer.status_code == 200, path
        assert "immutable" in answer.headers["cache-control"]


async def test_every_module_that_a_module_names_is_served_as_a_script(browser):
    (folder,) = set(re.findall(r'"(/console/\w+/)', (await browser.get("/console")).text))
    for name, text in SCRIPTS.items():
        for imported in re.findall(r'from "\./([^"]+)"', text):
            answer = await browser.get(folder + imported)
            assert answer.status_code == 200, f"{name} imports {imported}"
            assert answer.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("path", ["/console/0123456789abcdef/app.js", "/console/VERSION/index.html"])
async def test_what_is_not_of_this_version_is_not_found(browser, path):
    version = re.search(r"/console/(\w+)/app\.js", (await browser.get("/console")).text).group(1)
    answer = await browser.get(path.replace("VERSION", version))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_browser_is_told_to_load_from_the_gateway_only(browser):
    policy = (await browser.get("/console")).headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


def test_the_page_has_no_script_and_no_style_of_its_own():
    page = FILES["index.html"].decode()
    assert re.findall(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page) == []


def test_no_file_names_another_site():
    found = {
        (name, url)
        for name, content in FILES.items()
        for url in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", content.decode())
    }
    assert {url for _, url in found} <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_no_script_parses_markup_or_runs_text(name):
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc"
    banned = rf"{markup}|\beval\(|new Function|\.style\b"
    assert re.findall(banned, SCRIPTS[name]) == []


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_says_what_it_owns_and_can_be_read(name):
    text = FILES[name].decode()
    assert text.count("\n") < MOST_LINES
    if not name.endswith((".html", ".svg")):
        assert re.match(r"(// |/\* )Owns ", text)


def test_a_wheel_holds_every_file():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {path.name for pattern in patterns["gateway.console"] for path in FOLDER.glob(pattern)}
    assert packed == set(FILES)
    assert {path.name for path in FOLDER.iterdir() if path.suffix not in {".py", ""}} == packed
