"""The files of /docs come from the gateway alone, under names that change with them, and a wheel would hold them."""

import re
import tomllib
from pathlib import Path

import pytest

from gateway.docs.files import docs_files
from gateway.page_files import PageFiles

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "gateway/docs"


async def test_the_page_names_files_that_are_there_and_may_be_kept_for_a_year(client):
    page = await client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:href|src)="(/docs/[^"]+)"', page.text)
    assert {path.rpartition("/")[2] for path in named} == {
        "swagger-ui.css", "swagger-ui-bundle.js", "docs.css", "docs.js"
    }  # fmt: skip
    for path in named:
        answer = await client.get(path, headers={"accept-encoding": "gzip"})
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert answer.headers["content-type"].startswith(("text/css", "text/javascript"))
        assert len(answer.content) > 100
        assert answer.headers.get("content-encoding") == ("gzip" if len(answer.content) >= 1024 else None)


@pytest.mark.parametrize("path", ["/docs/0123456789abcdef/docs.js", "/docs/VERSION/index.html"])
async def test_what_is_not_of_this_version_is_not_found(client, path):
    answer = await client.get(path.replace("VERSION", docs_files().version))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_version_is_another_when_the_page_or_any_file_is():
    pages = [
        PageFiles("/p", page, files).version
        for page, files in (
            (b"1", {"a.js": b"2"}),
            (b"3", {"a.js": b"2"}),
            (b"1", {"a.js": b"4"}),
            (b"1", {"b.js": b"2"}),
        )
    ]
    assert len(set(pages)) == 4
    assert PageFiles("/p", b"1", {"a.js": b"2"}).version == pages[0]


def test_the_page_has_no_script_and_no_style_of_its_own():
    page = (FOLDER / "index.html").read_text()
    assert re.findall(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page) == []


def test_a_wheel_holds_every_file():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {path.name for pattern in patterns["gateway.docs"] for path in FOLDER.glob(pattern)}
    assert packed == {"index.html", "docs.css", "docs.js"}
    assert {path.name for path in FOLDER.iterdir() if path.suffix not in {".py", ""}} == packed
