"""Owns the console's files: `/console` is a page of plain modules and CSS, without any step that builds them."""

from importlib import resources

from gateway.page_files import PageFiles

PAGE = "index.html"
_KINDS = frozenset({"css", "html", "js", "svg"})


def files_of_the_console() -> dict[str, bytes]:
    """Return the console's files by name, the page among them."""
    folder = resources.files("gateway.console")
    names = sorted(file.name for file in folder.iterdir() if file.name.rpartition(".")[2] in _KINDS)
    return {name: folder.joinpath(name).read_bytes() for name in names}


class ConsoleFiles(PageFiles):
    """The routes of the console's files."""

    def __init__(self) -> None:
        files = files_of_the_console()
        super().__init__("/console", files.pop(PAGE), files)
