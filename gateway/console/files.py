"""Owns the console's files: read once, and served under a name that changes when any of them does.

The page at `/console` names its modules as `/console/VERSION/...`, where VERSION is a hash over all of them. So a
browser may keep them for a year, and never mixes the modules of two releases.
"""

import hashlib
from importlib import resources

from gateway.incoming import HttpRequest
from gateway.problems import GatewayCode, RequestRefused
from gateway.replies import FOR_A_YEAR, HTML, PAGE_HEADERS, Reply

PAGE = "index.html"
_MEDIA = {
    "css": b"text/css; charset=utf-8",
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}
_PLACE = b"/console/VERSION/"  # as the page is written


def files_of_the_console() -> dict[str, bytes]:
    """Return the console's files by name, the page among them."""
    folder = resources.files("gateway.console")
    names = sorted(file.name for file in folder.iterdir() if file.name.rpartition(".")[2] in _MEDIA)
    return {name: folder.joinpath(name).read_bytes() for name in names}


class ConsoleFiles:
    """The routes of the console's files."""

    def __init__(self) -> None:
        self._files = files_of_the_console()
        digest = hashlib.sha256()
        for name, content in self._files.items():
            digest.update(b"%s %d\n" % (name.encode(), len(content)) + content)
        self.version = digest.hexdigest()[:16]
        self._page = self._files.pop(PAGE).replace(_PLACE, f"/console/{self.version}/".encode())

    async def page(self, request: HttpRequest) -> Reply:  # noqa: ARG002 - one signature for all routes
        """Answer with the page."""
        return Reply(200, self._page, [HTML], PAGE_HEADERS)

    async def file(self, request: HttpRequest) -> Reply:
        """Answer with a file of this very version.

        Raises:
            RequestRefused: `not_found`, also for another version: its modules would not fit together with these.
        """
        content = self._files.get(request.path_params["file"])
        if content is None or request.path_params["version"] != self.version:
            raise RequestRefused(GatewayCode.NOT_FOUND, detail="There is no such file; open /console again.")
        media = _MEDIA[request.path_params["file"].rpartition(".")[2]]
        return Reply(200, content, [(b"content-type", media)], FOR_A_YEAR)
