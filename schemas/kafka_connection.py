"""Owns how every Kafka client connects: TLS and SASL, by Kafka's variables in `docs/settings.md`.

Every construction of a client takes `**kafka_options()`; `tests/tidy/test_kafka_clients.py` finds those that do not.
Secrets come from files and never from a flag: everybody on the machine can read the flags of a process.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ssl import SSLContext

SECURITY: Final = "HOLDFAST_KAFKA_SECURITY"
CA: Final = "HOLDFAST_KAFKA_CA"
CERT: Final = "HOLDFAST_KAFKA_CERT"
KEY: Final = "HOLDFAST_KAFKA_KEY"
KEY_PASSWORD_FILE: Final = "HOLDFAST_KAFKA_KEY_PASSWORD_FILE"  # noqa: S105 - a variable's name
SASL: Final = "HOLDFAST_KAFKA_SASL"
USERNAME: Final = "HOLDFAST_KAFKA_USERNAME"
PASSWORD_FILE: Final = "HOLDFAST_KAFKA_PASSWORD_FILE"  # noqa: S105 - a variable's name

TLS_VARIABLES: Final = (CA, CERT, KEY, KEY_PASSWORD_FILE)
SASL_VARIABLES: Final = (SASL, USERNAME, PASSWORD_FILE)
VARIABLES: Final = (SECURITY, *TLS_VARIABLES, *SASL_VARIABLES)
PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


class KafkaSettingsError(ValueError):
    """Kafka's variables contradict each other, or name a file that cannot be used; says which."""


class Password:
    """A password in a file, which is read again for each connection. Nothing that prints it shows its text."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        """Return the file's text without the end of its line.

        Raises:
            OSError: it cannot be read, is no text, or is empty.
        """
        try:
            text = self._path.read_text(encoding="utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise OSError(0, "it is no text in UTF-8") from None
        if not text:
            raise OSError(0, "it is empty")
        return text


def kafka_options(settings: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the keyword arguments with which a Kafka client connects; none for plain text.

    A client that reconnects reads the password again. Certificates are read when a client is made.

    Args:
        settings: the variables; by default those of this process.

    Raises:
        KafkaSettingsError: the variables cannot be used.
    """
    protocol = security_protocol(settings)
    options: dict[str, Any] = {} if protocol == "PLAINTEXT" else {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        options["ssl_context"] = _tls(settings)
    if protocol.startswith("SASL"):
        options |= _sasl(protocol, settings)
    return options


def security_protocol(settings: Mapping[str, str] = os.environ) -> str:
    """Return the security protocol of all connections to Kafka, after a check of what is set beside it.

    Raises:
        KafkaSettingsError: there is no such protocol, or a variable is set that it would ignore.
    """
    protocol = settings.get(SECURITY) or "PLAINTEXT"
    if protocol not in PROTOCOLS:
        raise KafkaSettingsError(f"{SECURITY} is {protocol!r}; it may be {', '.join(PROTOCOLS)}.")
    ignored = [] if protocol.endswith("SSL") else [*TLS_VARIABLES]
    ignored += [] if protocol.startswith("SASL") else SASL_VARIABLES
    for name in ignored:
        if settings.get(name):
            # To go on would be to connect without what the variable asks for.
            needed = "SSL or SASL_SSL" if name in TLS_VARIABLES else "SASL_SSL"
            raise KafkaSettingsError(f"{name} is set, but {SECURITY} is {protocol}; set that to {needed}.")
    return protocol


def _tls(settings: Mapping[str, str]) -> "SSLContext":
    cert, key, password = (settings.get(name) for name in (CERT, KEY, KEY_PASSWORD_FILE))
    if bool(cert) != bool(key):
        there, missing = (CERT, KEY) if cert else (KEY, CERT)
        raise KafkaSettingsError(f"{there} is set without {missing}; a client certificate needs both.")
    if password and not key:
        raise KafkaSettingsError(f"{KEY_PASSWORD_FILE} is set without {KEY}.")
    return _context(*(_changed_at(name, settings.get(name)) for name in TLS_VARIABLES))


def _changed_at(name: str, path: str | None) -> tuple[str, int] | None:
    """Return the path of a variable's file, and when it was changed; None for a variable that is not set."""
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            return path, os.fstat(file.fileno()).st_mtime_ns
    except OSError as error:
        raise KafkaSettingsError(f"{name} is {path}, which cannot be read: {error.strerror}.") from None


_File = tuple[str, int] | None


@lru_cache(maxsize=4)  # to read a system's own authorities takes 20 ms
def _context(ca: _File, cert: _File, key: _File, password: _File) -> "SSLContext":
    import ssl  # noqa: PLC0415 - only TLS needs it, and most commands of a laptop have none

    from aiokafka.helpers import create_ssl_context  # noqa: PLC0415

    try:
        context: ssl.SSLContext = create_ssl_context(cafile=ca[0] if ca else None)
    except (ssl.SSLError, OSError) as error:
        raise KafkaSettingsError(f"{CA} is {ca and ca[0]}, which holds no certificate in PEM ({error}).") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert and key:
        try:
            # Without a function here, OpenSSL would ask for the password of a locked key at the terminal.
            context.load_cert_chain(cert[0], key[0], lambda: _key_password(key[0], password))
        except KafkaSettingsError:
            raise
        except (ssl.SSLError, OSError) as error:
            raise KafkaSettingsError(
                f"the certificate {cert[0]} ({CERT}) and its key {key[0]} ({KEY}) cannot be used: {error}. Both are "
                f"PEM files; {KEY_PASSWORD_FILE} holds the key's password."
            ) from None
    return context


def _key_password(key: str, password: _File) -> str:
    if password is None:
        raise KafkaSettingsError(f"{KEY} is {key}, which is locked with a password; set {KEY_PASSWORD_FILE}.")
    return _readable(KEY_PASSWORD_FILE, password[0]).read()


def _sasl(protocol: str, settings: Mapping[str, str]) -> dict[str, Any]:
    missing = [name for name in SASL_VARIABLES if not settings.get(name)]
    if missing:
        raise KafkaSettingsError(f"{SECURITY} is {protocol}, which needs {', '.join(missing)}.")
    mechanism, username, path = (settings[name] for name in SASL_VARIABLES)
    if mechanism not in MECHANISMS:
        raise KafkaSettingsError(f"{SASL} is {mechanism!r}; it may be {', '.join(MECHANISMS)}.")
    if mechanism == "PLAIN" and protocol != "SASL_SSL":
        raise KafkaSettingsError(
            f"{SASL} is PLAIN, which shows the password to the network; set {SECURITY} to SASL_SSL."
        )
    _read_passwords_at_each_connection()
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": username,
        "sasl_plain_password": _readable(PASSWORD_FILE, path),
    }


def _readable(name: str, path: str) -> Password:
    password = Password(Path(path))
    try:
        password.read()
    except OSError as error:
        raise KafkaSettingsError(f"{name} is {path}, which cannot be used: {error.strerror}.") from None
    return password


@lru_cache(maxsize=1)
def _read_passwords_at_each_connection() -> None:
    """Make aiokafka take a `Password`: it makes an authenticator for each connection, with what the client was given.

    aiokafka is pinned; `tests/schemas/test_kafka_connection.py` checks that both are still made there.
    """
    from aiokafka import conn  # noqa: PLC0415 - costs 0.2 s

    class Scram(conn.ScramAuthenticator):
        def __init__(self, *, sasl_plain_password: Password, **others: Any) -> None:
            super().__init__(sasl_plain_password=sasl_plain_password.read(), **others)

    class Plain(conn.SaslPlainAuthenticator):
        def __init__(self, *, sasl_plain_password: Password, **others: Any) -> None:
            super().__init__(sasl_plain_password=sasl_plain_password.read(), **others)

    conn.ScramAuthenticator = Scram
    conn.SaslPlainAuthenticator = Plain
