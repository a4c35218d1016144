"""Owns the embedded broker: a real Apache Kafka (KRaft, one node) as a child process on its own data directory."""

import fcntl
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from ops.child import die_with_parent
from ops.kafka.files import write_private
from ops.kafka.probe import cluster_at
from ops.kafka.runtime import KafkaRuntime, Say, format_storage, prepare
from ops.kafka.security import Security

START_TIMEOUT_S = 60.0

QUICK_COMPILER = ("-XX:TieredStopAtLevel=1", "-XX:CompileThresholdScaling=0.02")
"""Java flags: the quick compiler alone, and 50 times sooner than usual.

A broker that has just started spends most of its time on running Java uncompiled and on compiling it twice. Processor
ms of a new broker per command at 20, 50 and 200 commands/s: 20.5, 11.6 and 6.1 with Java's defaults, 5.6, 4.2 and 2.3
with these; it starts as fast. After a minute under load the defaults are better by a fifth. See ADR 0010.
"""

# `broker.session.timeout.ms`: after a kill the controller accepts the node only when its old session is over; with the
# default of 9 s a restart takes 11 s. `add.partitions.to.txn.retry.backoff.ms`: a transaction that follows another at
# once waits in the broker until the markers of the first are written, in steps of this; the default of 20 ms costs 20
# ms a transaction.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller_port}
log.dirs={logs}
auto.create.topics.enable=false
add.partitions.to.txn.retry.backoff.ms=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.max.timeout.ms=60000
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


def _say_nothing(_line: str) -> None:
    return


class Broker:
    """One Kafka node. It may be stopped or killed, and started again on the same data at the same address.

    Args:
        data_dir: the directory of the node's log and configuration; made when missing.
        port: the port for clients; None takes the port of the last start, or a free one.
        host: the address to listen on, which clients are told.
        runtime: Java and jars; None prepares them (and downloads them the first time).
        say: called with a line for each step that takes long.
        java_flags: further flags for the Java process; without any, both of its compilers work as they do by default.
        properties: further broker properties, which replace those above; `{host}`, `{port}` and `{controller_port}` in
            a value are replaced by this node's.
        secure: whether clients need TLS, a user of SCRAM and its rights; see `ops.kafka.security`.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        runtime: KafkaRuntime | None = None,
        say: Say = _say_nothing,
        java_flags: tuple[str, ...] = QUICK_COMPILER,
        properties: Mapping[str, str] | None = None,
        secure: bool = False,
    ) -> None:
        self._home = Path(data_dir).resolve()
        self._host = host
        self._port = port
        self._runtime = runtime
        self._say = say
        self._java_flags = java_flags
        self._properties = properties or {}
        self.security = Security(self._home, host) if secure else None
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def bootstrap(self) -> str:
        """Return `HOST:PORT` for clients; known once the broker is started."""
        return f"{self._host}:{self._port}"

    @property
    def pid(self) -> int | None:
        """Return the process id of the Java process, None when it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log_file(self) -> Path:
        """Return the file of Kafka's log messages."""
        return self._home / "kafka.log"

    def start(self) -> None:
        """Start the node and wait until it serves. Another Kafka at its port does not count.

        Call it from a thread that lives as long as the broker: Linux ends the child with the thread that started it.

        Raises:
            RuntimeError: the directory or the port belongs to another process, or the node did not start; says which.
        """
        runtime = self._runtime = self._runtime or prepare(self._say, _record_aot_cache)
        self._home.mkdir(parents=True, exist_ok=True)
        self._take_directory()
        try:
            self._start(runtime)
        except BaseException:
            self._release()
            raise

    def _start(self, runtime: KafkaRuntime) -> None:
        is_new = not (self._home / "logs" / "meta.properties").exists()
        if self.security is not None:
            self.security.prepare(is_new=is_new)
        elif Security.is_in(self._home):
            raise RuntimeError(f"the Kafka in {self._home} was made with --secure; without it, everybody could do all.")
        properties = self._write_properties()
        _check_free(self._host, self._port or 0)
        if is_new:
            format_storage(runtime, properties, self.security.scram() if self.security else ())
        command = runtime.command(properties)
        command[1:1] = self._java_flags
        self._log = self.log_file.open("ab")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one call of libc, no Python state
        )
        self._wait_until_ready()
        if self.security is not None:
            self.security.open_to_users(self.bootstrap)

    def _take_directory(self) -> None:
        """Refuse a directory of a running broker or of a worker."""
        if (self._home / "instance-id").exists():
            raise RuntimeError(f"{self._home} is a worker's; give the broker a --data-dir of its own.")
        if self._lock is not None:
            return  # killed and started again
        lock = (self._home / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise RuntimeError(f"another broker runs on {self._home}; give each a --data-dir of its own.") from error
        self._lock = lock

    def _write_properties(self) -> Path:
        properties = self._home / "server.properties"
        before = (
            dict(line.split("=", 1) for line in properties.read_text().splitlines() if "=" in line)
            if properties.exists()
            else {}
        )
        if self._port is None:
            last = before.get("listeners", ":0,").split(",")[0].rsplit(":", 1)[1]
            self._port = int(last) or free_port()
        controller = int(before.get("controller.quorum.voters", ":0").rsplit(":", 1)[1]) or free_port()
        values = {"host": self._host, "port": self._port, "controller_port": controller, "logs": self._home / "logs"}
        # Of two lines with the same name, Java uses the last.
        secure = self.security.properties() if self.security else {}
        more = "".join(f"{name}={value}\n" for name, value in {**secure, **self._properties}.items())
        write_private(properties, (_PROPERTIES + more).format(**values).encode())
        return properties

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        ours = self._cluster()
        while not self._serves(ours):
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"Kafka ended while starting. {self._tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Kafka did not serve within {START_TIMEOUT_S:.0f} s. {self._tail()}")
            time.sleep(0.02)

    def _serves(self, ours: str) -> bool:
        if self.security is not None:
            return self.security.answers(self.bootstrap)
        answering = cluster_at(self._host, self._port or 0)
        if answering and answering != ours:
            self.kill()
            raise RuntimeError(
                f"at {self.bootstrap} another Kafka answers, of cluster {answering} and not of {ours}, which was "
                f"started on {self._home}; choose another --port."
            )
        return answering == ours

    def _cluster(self) -> str:
        """Return the cluster id of this data directory."""
        lines = (self._home / "logs" / "meta.properties").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line).get("cluster.id", "")

    def _tail(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()[-12:]
        return f"The end of {self.log_file}:\n" + "\n".join(lines)

    def poll(self) -> int | None:
        """Return the exit code of the Java process, None while it runs."""
        return self._process.poll() if self._process else 0

    def stop(self, timeout_s: float = 20.0) -> None:
        """Stop the node cleanly; kill it when that takes longer than the time-out."""
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """End the node at once, like a crash (SIGKILL)."""
        self._end(signal.SIGKILL, 10.0)

    def _end(self, sign: signal.Signals, timeout_s: float) -> None:
        if self._process is not None:
            self._process.send_signal(sign)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _check_free(host: str, port: int) -> None:
    """Refuse a port that another process listens on: it might be mistaken for the starting broker."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last start may still exist
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RuntimeError(f"{host}:{port} cannot be had ({error.strerror}); choose another --port.") from error


def free_port() -> int:
    """Return a TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _record_aot_cache(runtime: KafkaRuntime) -> None:
    """Run a broker once to record Java's ahead-of-time cache for later starts."""
    unfinished = runtime.aot_cache.with_suffix(".unfinished")
    folder = Path(tempfile.mkdtemp(prefix="holdfast-aot-"))
    try:
        broker = Broker(folder, runtime=runtime, java_flags=(f"-XX:AOTCacheOutput={unfinished}",))
        broker.start()
        broker.stop(timeout_s=60)
        # Without it the broker only starts more slowly, so a failure here is no error.
        if unfinished.exists():
            unfinished.rename(runtime.aot_cache)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
