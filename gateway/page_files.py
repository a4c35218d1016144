"""Owns pages with files of their own: read once, and served under a name that changes when any of them does.

A page names its files as `/PLACE/VERSION/...`, where VERSION is a hash over all of them. So a browser may keep them for
a year, and never mixes the files of two releases.
"""

import hashlib
from collections.abc import Mapping

from gateway.incoming import HttpRequest
from gateway.problems import GatewayCode, RequestRefused
from gateway.replies import FOR_A_YEAR, HTML, PAGE_HEADERS, Header, Reply

_MEDIA: dict[str, Header] = {
    "css": (b"content-type", b"text/css; charset=utf-8"),
    "js": (b"content-type", b"text/javascript; charset=utf-8"),
    "svg": (b"content-type", b"image/svg+xml"),
}


class PageFiles:
    """A page and its files, as two routes: `/PLACE` and `/PLACE/{version}/{file}`.

    Args:
        place: the page's path.
        page: the page, with its files under `/PLACE/VERSION/`.
        files: their contents by name.
    """

    def __init__(self, place: str, page: bytes, files: Mapping[str, bytes]) -> None:
        self._place = place
        self._files = files
        digest = hashlib.sha256()
        for name, content in sorted({**files, "": page}.items()):
            digest.update(b"%s %d\n" % (name.encode(), len(content)) + content)
        self.version = digest.hexdigest()[:16]
        self._page = page.replace(f"{place}/VERSION/".encode(), f"{place}/{self.version}/".encode())

    async def page(self, request: HttpRequest) -> Reply:  # noqa: ARG002 - one signature for all routes
        """Answer with the page."""
        return Reply(200, self._page, [HTML], PAGE_HEADERS)

    async def file(self, request: HttpRequest) -> Reply:
        """Answer with a file of this very version.

        Raises:
            RequestRefused: `not_found`, also for another version: its files would not fit together with these.
        """
        name = request.path_params["file"]
        content = self._files.get(name)
        if content is None or request.path_params["version"] != self.version:
            raise RequestRefused(GatewayCode.NOT_FOUND, detail=f"There is no such file; open {self._place} again.")
        return Reply(200, content, [_MEDIA[name.rpartition(".")[2]]], FOR_A_YEAR)
