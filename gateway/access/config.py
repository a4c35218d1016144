"""Owns the settings of who may use a gateway; they come from the environment alone.

A gateway without a key file and without a key set for tokens is open: everybody who reaches it may do all.
"""

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


class AccessError(Exception):
    """The settings of who may use the gateway are wrong, or what they name cannot be used. Says what to do."""


@dataclass(frozen=True, kw_only=True)
class AccessConfig:
    """Who may use a gateway.

    Args:
        keys_file: the file of keys; None: no keys.
        jwks: the key set for tokens, a file or an https URL; None: no tokens.
        issuer: the only issuer (`iss`) of tokens.
        audience: what tokens must be made for (`aud`).
        hosts: names under which clients reach the gateway, beside its own; `NAME` or `NAME:PORT`, in lower case.
        tls_cert: the certificate, PEM with its chain; None: no TLS.
        tls_key: its private key, PEM.
        max_streams: how many streams a credential may have open.
    """

    keys_file: Path | None = None
    jwks: str | None = None
    issuer: str = ""
    audience: str = ""
    hosts: frozenset[str] = frozenset()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_streams: int = 10

    @property
    def is_open(self) -> bool:
        """Return whether everybody who reaches the gateway may do all."""
        return self.keys_file is None and self.jwks is None


def access_from(environ: Mapping[str, str]) -> AccessConfig:
    """Return the settings from environment variables; an empty one counts as absent.

    Raises:
        AccessError: they contradict each other.
    """
    given = {name: value for name, value in environ.items() if value}
    tokens = {name: given.get(name) for name in ("HOLDFAST_JWKS", "HOLDFAST_JWT_ISSUER", "HOLDFAST_JWT_AUDIENCE")}
    _all_or_none(tokens)
    tls = {name: given.get(name) for name in ("HOLDFAST_TLS_CERT", "HOLDFAST_TLS_KEY")}
    _all_or_none(tls)
    jwks = tokens["HOLDFAST_JWKS"]
    if jwks is not None and "://" in jwks:
        _check_url(jwks)
    keys_file = given.get("HOLDFAST_KEYS_FILE")
    cert, key = tls.values()
    return AccessConfig(
        keys_file=None if keys_file is None else Path(keys_file),
        jwks=jwks,
        issuer=tokens["HOLDFAST_JWT_ISSUER"] or "",
        audience=tokens["HOLDFAST_JWT_AUDIENCE"] or "",
        hosts=frozenset(name.strip().lower() for name in given.get("HOLDFAST_HOSTS", "").split(",") if name.strip()),
        tls_cert=None if cert is None else Path(cert),
        tls_key=None if key is None else Path(key),
    )


def _all_or_none(settings: Mapping[str, str | None]) -> None:
    missing = [name for name, value in settings.items() if value is None]
    if missing and len(missing) < len(settings):
        raise AccessError(f"set {' and '.join(missing)} as well: {', '.join(settings)} belong together")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise AccessError("HOLDFAST_JWKS must be a file or an https URL: who can change the key set can be anybody")
    if parts.username or parts.password:
        raise AccessError("HOLDFAST_JWKS must not have a password in its URL: a key set is public")


def check_certificate(config: AccessConfig) -> None:
    """Check that the certificate and its key can be read and belong together.

    Raises:
        AccessError: they cannot be used.
    """
    if config.tls_cert is None or config.tls_key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(config.tls_cert, config.tls_key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise AccessError(
            f"HOLDFAST_TLS_CERT {config.tls_cert} and HOLDFAST_TLS_KEY {config.tls_key} cannot be used: {error}"
        ) from None


def check_listen(host: str, config: AccessConfig) -> None:
    """Check that an open gateway listens on this machine alone.

    Raises:
        AccessError: others could reach it.
    """
    if config.is_open and not is_loopback(host):
        raise AccessError(
            "without HOLDFAST_KEYS_FILE or HOLDFAST_JWKS everybody may do all, so a gateway listens on loopback only,"
            f" not on {host}: make a key with `holdfast keys new`, and set HOLDFAST_KEYS_FILE"
        )


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on can be reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
