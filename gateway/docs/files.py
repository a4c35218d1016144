"""Owns the files of the page at `/docs`: Swagger UI from its package, and what shows our document in it."""

from importlib import resources

from swagger_ui_bundle import swagger_ui_path

from gateway.page_files import PageFiles

_OF_SWAGGER_UI = ("swagger-ui-bundle.js", "swagger-ui.css")
_OWN = ("docs.css", "docs.js")


def docs_files() -> PageFiles:
    """Return the page at `/docs` with its files."""
    own = resources.files("gateway.docs")
    files = {name: (swagger_ui_path / name).read_bytes() for name in _OF_SWAGGER_UI}
    files |= {name: own.joinpath(name).read_bytes() for name in _OWN}
    return PageFiles("/docs", own.joinpath("index.html").read_bytes(), files)
