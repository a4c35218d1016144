"""Owns the protection from pages of other sites that run in a browser which reaches the gateway.

A page can send a request to any address that its browser reaches, and with a name that its own DNS server points to the
gateway it can even read the answer. So the gateway serves only its own names, and nobody from another origin.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from gateway.problems import Forbidden, GatewayCode, RequestRefused

_MAX_REMEMBERED = 1_000


class Pages:
    """The names of one gateway.

    Args:
        host: the address that it listens on.
        hosts: further names, `NAME` or `NAME:PORT`, in lower case.
    """

    def __init__(self, host: str, hosts: Collection[str] = ()) -> None:
        self._names = {"localhost", _bare(host).lower(), *hosts}
        self._others = frozenset(hosts)
        # Who listens on all addresses is known under each of them. Nobody else can point an address to another machine.
        self._any_address = _is_unspecified(host)
        self._served: set[bytes] = set()

    def check(self, hosts: list[bytes], origin: bytes | None, site: bytes | None) -> None:
        """Check where a request comes from.

        Args:
            hosts: its `Host` headers.
            origin: its `Origin`; None without one, as from programs.
            site: its `Sec-Fetch-Site`; None without one.

        Raises:
            RequestRefused: `wrong_host`, or `forbidden` with the header's name.
        """
        if len(hosts) != 1 or not (hosts[0] in self._served or self._serves(hosts[0])):
            raise RequestRefused(GatewayCode.WRONG_HOST)
        self.check_origin(hosts[0], origin, site)

    def check_origin(self, host: bytes, origin: bytes | None, site: bytes | None) -> None:
        """Check that no page of another site or origin sent a request.

        Raises:
            Forbidden: `field` is the header's name.
        """
        if site == b"cross-site":
            raise Forbidden("Sec-Fetch-Site", "A page of another site sent this request.")
        if origin is not None and not self._is_own(host, origin):
            raise Forbidden("Origin", "A page of another origin sent this request.")

    def _serves(self, host: bytes) -> bool:
        name = host.decode("latin-1").lower()
        served = name in self._names or _bare(name) in self._names or (self._any_address and _is_address(name))
        if served and len(self._served) < _MAX_REMEMBERED:
            self._served.add(host)
        return served

    def _is_own(self, host: bytes, origin: bytes) -> bool:
        try:
            authority = urlsplit(origin.decode("latin-1").lower()).netloc
        except ValueError:
            return False
        return authority != "" and (authority == host.decode("latin-1").lower() or authority in self._others)


def _bare(authority: str) -> str:
    """Return an authority without its port, an IPv6 address without its brackets."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority if authority.count(":") > 1 else authority.partition(":")[0]


def _is_address(authority: str) -> bool:
    try:
        ipaddress.ip_address(_bare(authority))
    except ValueError:
        return False
    return True


def _is_unspecified(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(_bare(host)).is_unspecified
