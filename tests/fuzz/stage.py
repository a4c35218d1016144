"""Owns the stage of these tests: a broker, a worker, and a gateway that asks for keys, as a user starts them."""

import contextlib
import json
import sys

from bench.harness import Child
from gateway.access.keys import new_key
from ops.kafka.broker import Broker

PARTITIONS = 4
_KEYS = {
    "admin": {"scopes": ["admin"]},
    "reader": {"scopes": ["read"]},
    "clerk": {"scopes": ["adjust"]},
    "slow": {"scopes": ["admin"], "rate_per_s": 0.001, "burst": 1},
}


class Stage:
    """A broker with a worker and a gateway; `url` is the gateway's, `keys` has a key by its id.

    Args:
        folder: where everything is kept.
        settings: environment variables of the gateway.
    """

    def __init__(self, folder, **settings):
        self._folder = folder
        self._children = []
        self.keys = self._make_keys(folder / "keys.json")
        self._broker = Broker(folder / "broker")
        self._broker.start()
        cluster = ("--bootstrap", self._broker.bootstrap, "--partitions", str(PARTITIONS))
        try:
            self.worker = self._start("worker", {}, *cluster, "--data-dir", str(folder / "worker"))
            self.worker.await_line("ready")
            settings = {"HOLDFAST_KEYS_FILE": folder / "keys.json", **settings}
            self.gateway = self._start("gateway", settings, *cluster, "--port", "0")
            self.url = self.gateway.await_line("ready").split()[1]
        except BaseException:
            self.end()
            raise

    def _make_keys(self, path):
        made = {id_: new_key(id_) for id_ in _KEYS}
        path.write_text(json.dumps({"keys": [{"id": id_, "sha256": made[id_][1], **_KEYS[id_]} for id_ in _KEYS]}))
        path.chmod(0o600)
        return {id_: key for id_, (key, _) in made.items()}

    def _start(self, name, settings, *options):
        variables = [f"{variable}={value}" for variable, value in settings.items()]
        child = Child(name, self._folder, ["env", *variables, sys.executable, "-m", "ops.cli", name, *options])
        self._children.append(child)
        return child

    def bearer(self, id_="admin"):
        """Return the headers of a request with a key."""
        return {"authorization": f"Bearer {self.keys[id_]}"}

    @property
    def as_admin(self):
        """Return the options of schemathesis that let it use the key that may do all."""
        return ("-H", f"Authorization: Bearer {self.keys['admin']}")

    def failures_in_the_log(self):
        """Return the lines of the gateway's log that tell of a bug."""
        log = (self._folder / "gateway.err").read_text(errors="replace").splitlines()
        return "\n".join(line for line in log if "[error" in line or "Traceback" in line)

    def end(self):
        """End everything."""
        for child in reversed(self._children):
            child.stop()
        self._broker.stop()


@contextlib.contextmanager
def standing(folder, **settings):
    """Have a stage during the block."""
    stage = Stage(folder, **settings)
    try:
        yield stage
    finally:
        stage.end()
