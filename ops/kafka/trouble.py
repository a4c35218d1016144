"""Owns the reason why a Kafka that is there cannot be used: which variable to look at, in a sentence.

aiokafka only says that it could not connect. So this connects once more, after a failure and never before.
"""

import asyncio
import contextlib
import os
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from schemas.kafka_connection import (
    CA,
    CERT,
    KEY,
    PASSWORD_FILE,
    SASL,
    SECURITY,
    USERNAME,
    kafka_options,
    security_protocol,
)

_WITHIN_MS: Final = 3_000
_GOODBYE_WITHIN_S: Final = 1.0
# OpenSSL's X509_V_ERR_*: the certificate is sound, but for another name or address; or its time is not now.
_FOR_ANOTHER: Final = frozenset({62, 64})
_NOT_NOW: Final = {9: "is not valid yet", 10: "has expired"}


class Trouble(NamedTuple):
    """Why a broker and this process do not talk.

    Args:
        sentence: says which variable to look at.
        is_certain: whether waiting cannot help: a broker that stops or starts does not look like this.
    """

    sentence: str
    is_certain: bool = True


async def connection_trouble(bootstrap: str) -> Trouble | None:
    """Return why the brokers do not talk with this process; None when one does, or none is there.

    Args:
        bootstrap: `HOST:PORT,...` of the brokers.

    Raises:
        KafkaSettingsError: the variables cannot be used.
    """
    found = None
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            connection = await create_conn(
                host.strip("[]"), int(port), client_id="holdfast-why", request_timeout_ms=_WITHIN_MS, **kafka_options()
            )
        except (KafkaError, OSError) as error:
            found = found or trouble_of(error, f"Kafka at {address.strip()}")
            continue
        try:
            # A listener that asks for a login answers who is there, and ends the connection at anything else.
            await connection.send(MetadataRequest([]))
        except (KafkaError, OSError) as error:
            found = found or trouble_of(error, f"Kafka at {address.strip()}")
        else:
            return None
        finally:
            await close(connection)
    return found


async def close(connection: AIOKafkaConnection) -> None:
    """Close a connection, and wait for the goodbye of the other end, which TLS has; a loop may end before it comes."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(connection.close(), _GOODBYE_WITHIN_S)


def trouble_at(bootstrap: str) -> Trouble | None:
    """Return the same as `connection_trouble`, in a thread of its own, for a caller that cannot await."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(connection_trouble(bootstrap))).result()


def trouble_of(error: BaseException, kafka: str) -> Trouble | None:
    """Return why a connection could not be made; None when no broker was there.

    Args:
        error: what aiokafka raised, or logged.
        kafka: the broker, as a sentence names it.
    """
    protocol = security_protocol()
    refusals = {
        SaslAuthenticationFailed: f"does not know user {os.environ.get(USERNAME)} with this password; look at "
        f"{USERNAME} and {PASSWORD_FILE}.",
        UnsupportedSaslMechanismError: f"does not take {os.environ.get(SASL)}; look at {SASL}.",
        IllegalSaslStateError: f"takes no users at this port; look at {SECURITY}, which is {protocol}.",
    }
    if type(error) in refusals:
        return Trouble(f"{kafka} {refusals[type(error)]}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Trouble(f"the certificate of {kafka} {_what_is_wrong(error)}")
    cause = error.__cause__ if isinstance(error, KafkaConnectionError) else error
    if isinstance(cause, ssl.SSLError) and any(it in (cause.reason or "") for it in ("CERTIFICATE", "UNKNOWN_CA")):
        return Trouble(f"{kafka} wants a certificate of this process, or another one; look at {CERT} and {KEY}.")
    if isinstance(cause, ssl.SSLError | ConnectionResetError | asyncio.IncompleteReadError):
        text = f"{kafka} ends each connection at its first words; look at {SECURITY}, which is {protocol}: perhaps this"
        return Trouble(f"{text} port wants TLS or a user, or has neither.", is_certain=False)
    return None


def _what_is_wrong(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _FOR_ANOTHER:
        return f"is for another name ({error.verify_message}); use a name that is in it, in HOLDFAST_BOOTSTRAP."
    if error.verify_code in _NOT_NOW:
        return f"{_NOT_NOW[error.verify_code]}."
    ca = os.environ.get(CA) or "not set: the system's own authorities count"
    return f"is not of an authority in {CA}, which is {ca} ({error.verify_message})."
