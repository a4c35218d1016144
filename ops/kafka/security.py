"""Owns the security of an embedded broker: TLS with certificates of its own, a user per role, and the users' rights.

All files are in the broker's data directory and only its owner may read them: `ROLE.password`, `ROLE.env` (the settings
of a process that connects as this role), `ca.pem` and `node.pem`.
"""

import asyncio
import secrets
import shlex
import socket
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaError

from ops.kafka.acls import Acl, allow
from ops.kafka.certificates import NODE, ensure_certificates
from ops.kafka.files import write_private
from ops.kafka.rights import ROLES
from ops.kafka.trouble import close
from schemas.kafka_connection import CA, PASSWORD_FILE, SASL, SECURITY, USERNAME, kafka_options

ADMIN: Final = "admin"
"""The user who may do everything, rights included. No process of Holdfast needs it."""

# The broker's own user, by which it sends the markers of transactions to itself.
_ITSELF = "broker"
_USERS = (ADMIN, _ITSELF, *ROLES)
_MECHANISM = "SCRAM-SHA-512"
_CONNECT_TIMEOUT_S = 0.5
_REQUEST_TIMEOUT_MS = 5_000
# A connection whose login failed is closed in later turns of the loop.
_LET_GO_S = 0.1

# The node reaches its own controller with its certificate: users of SCRAM are known only once a controller answers.
_PROPERTIES = {
    "listeners": "CLIENTS://{host}:{port},CONTROLLER://127.0.0.1:{controller_port}",
    "advertised.listeners": "CLIENTS://{host}:{port}",
    "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:SSL",
    "inter.broker.listener.name": "CLIENTS",
    "sasl.enabled.mechanisms": _MECHANISM,
    "sasl.mechanism.inter.broker.protocol": _MECHANISM,
    "listener.name.controller.ssl.client.auth": "required",
    "ssl.keystore.type": "PEM",
    "ssl.truststore.type": "PEM",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "false",
    "super.users": f"User:{ADMIN};User:{_ITSELF};User:CN={NODE}",
}


class Security:
    """The files and rights of one broker with TLS, SASL and ACLs.

    Args:
        home: the broker's data directory.
        host: the address that its clients are told.
    """

    def __init__(self, home: Path, host: str) -> None:
        self._home = home
        self._host = host

    @staticmethod
    def is_in(home: Path) -> bool:
        """Return whether the broker in this data directory was made with security."""
        return (home / f"{ADMIN}.password").exists()

    def prepare(self, *, is_new: bool) -> None:
        """Make the passwords of a new broker, and the certificates.

        Raises:
            RuntimeError: the broker was made without security, or by a version with fewer users.
        """
        self._home.chmod(0o700)
        for user in _USERS:
            path = self._password_file(user)
            if is_new:
                write_private(path, secrets.token_urlsafe(24).encode() + b"\n")
            elif not path.exists():
                raise RuntimeError(
                    f"the Kafka in {self._home} knows no user {user!r}: users are made with the data directory. Give "
                    "--secure a new --data-dir."
                )
        ensure_certificates(self._home / "ca.pem", self._home / "node.pem", self._host)

    def _password_file(self, user: str) -> Path:
        return self._home / f"{user}.password"

    def _password(self, user: str) -> str:
        return self._password_file(user).read_text().strip()

    def properties(self) -> dict[str, str]:
        """Return the broker's properties, which hold a password."""
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        return _PROPERTIES | {
            "ssl.keystore.location": str(self._home / "node.pem"),
            "ssl.truststore.location": str(self._home / "ca.pem"),
            f"listener.name.clients.{_MECHANISM.lower()}.sasl.jaas.config": (
                f'{login} username="{_ITSELF}" password="{self._password(_ITSELF)}";'
            ),
        }

    def scram(self) -> list[str]:
        """Return the users with their passwords, as `kafka-storage format --add-scram` takes them."""
        return [f"{_MECHANISM}=[name={user},password={self._password(user)}]" for user in _USERS]

    def settings(self, user: str, bootstrap: str) -> dict[str, str]:
        """Return the variables of a process that connects as this user."""
        return {
            "HOLDFAST_BOOTSTRAP": bootstrap,
            SECURITY: "SASL_SSL",
            CA: str(self._home / "ca.pem"),
            SASL: _MECHANISM,
            USERNAME: user,
            PASSWORD_FILE: str(self._password_file(user)),
        }

    def env_files(self) -> dict[str, Path]:
        """Return the file of settings of each user but the broker's own."""
        return {user: self._home / f"{user}.env" for user in (ADMIN, *ROLES)}

    def answers(self, bootstrap: str) -> bool:
        """Return whether this broker serves at its address: nobody else has a certificate of its authority."""
        host, _, port = bootstrap.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT_S).close()
        except OSError:
            return False
        return _in_a_loop_of_its_own(lambda: self._as_admin(bootstrap, _nothing))

    def open_to_users(self, bootstrap: str) -> None:
        """Give every role its rights, and write its file of settings.

        Raises:
            RuntimeError: the broker refuses.
        """
        acls = [Acl(name, right) for name, role in ROLES.items() for right in role.rights]
        if not _in_a_loop_of_its_own(lambda: self._as_admin(bootstrap, lambda connection: allow(connection, acls))):
            raise RuntimeError(f"the rights of its users could not be made at {bootstrap}")
        for user, path in self.env_files().items():
            lines = [f"{name}={shlex.quote(value)}\n" for name, value in self.settings(user, bootstrap).items()]
            write_private(path, "".join(lines).encode())

    async def _as_admin(self, bootstrap: str, work: Callable[[AIOKafkaConnection], Coroutine[Any, Any, None]]) -> bool:
        host, _, port = bootstrap.rpartition(":")
        options = {"client_id": "holdfast-broker", "request_timeout_ms": _REQUEST_TIMEOUT_MS}
        try:
            connection = await create_conn(
                host.strip("[]"), int(port), **options, **kafka_options(self.settings(ADMIN, bootstrap))
            )
        except (KafkaError, OSError):
            await asyncio.sleep(_LET_GO_S)
            return False
        try:
            await work(connection)
        except (KafkaError, OSError):
            return False
        finally:
            await close(connection)
        return True


async def _nothing(_connection: AIOKafkaConnection) -> None:
    return


def _in_a_loop_of_its_own(work: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
    """Run a coroutine, whether or not this thread has a loop that runs."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()
