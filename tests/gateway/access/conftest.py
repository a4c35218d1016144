"""Fixtures of the tests of access: key files, and gateways that ask for a credential."""

import contextlib
import hashlib
import json

import httpx
import pytest

from gateway.access.config import AccessConfig
from gateway.access.keys import new_key
from gateway.app import Gateway
from gateway.config import GatewayConfig


def write_keys(path, keys):
    path.write_text(json.dumps({"keys": keys}))
    path.chmod(0o600)


def entry(key, **fields):
    """Return a key's entry in its file."""
    return {"id": key[3:-44], "sha256": hashlib.sha256(key.encode()).hexdigest(), **fields}


class Kit:
    """What the test modules share."""

    write_keys = staticmethod(write_keys)
    entry = staticmethod(entry)

    @staticmethod
    def key(id_):
        return new_key(id_)[0]

    @staticmethod
    def bearer(key):
        return {"authorization": f"Bearer {key}"}


@pytest.fixture
def kit():
    return Kit


@pytest.fixture
def serve(ledger, helpers):
    """Return a function that makes a gateway over the fake ledger, loads its credentials, and gives a client of it."""

    @contextlib.asynccontextmanager
    async def serving(**access):
        config = AccessConfig(**access)
        gateway = Gateway(GatewayConfig(partitions=helpers.partitions, request_timeout_s=0.2, access=config), ledger)
        gateway.reader.complete.set()
        gateway.rules_reader.complete.set()
        await gateway.access.load()
        transport = httpx.ASGITransport(gateway.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            client.gateway = gateway
            yield client

    return serving


@pytest.fixture
def keyed(serve, tmp_path):
    """Return a function that makes a gateway with keys: their fields by id; `client.keys` has the keys themselves."""

    @contextlib.asynccontextmanager
    async def serving(**fields_of):
        keys = {id_: Kit.key(id_) for id_ in fields_of}
        file = tmp_path / "keys.json"
        write_keys(file, [entry(keys[id_], **fields) for id_, fields in fields_of.items()])
        async with serve(keys_file=file) as client:
            client.keys = keys
            client.as_ = {id_: Kit.bearer(key) for id_, key in keys.items()}
            yield client

    return serving
