"""A Kafka with TLS, users and rights: each process has exactly the rights it needs, and says which one is missing.

One broker serves all tests; a right is taken away and given back while it runs.
"""

import asyncio
import base64
import contextlib
import json
import os
import queue
import re
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import httpx
import pytest
from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import create_conn
from aiokafka.errors import for_code

from agents.kafka.wire import Marker, TopicPartitions, WriteTxnMarkers
from agents.reading import LogReader
from agents.transactions import TransactionClient
from ops.kafka.acls import Acl, allow, disallow
from ops.kafka.broker import Broker
from ops.kafka.certificates import ensure_certificates
from ops.kafka.rights import GROUPS, ROLES, TOPIC, TRANSACTIONAL_ID, Right
from ops.kafka.rights_check import lack_of, missing_rights
from ops.kafka.topics import ensure_topics
from ops.kafka.trouble import close, connection_trouble
from schemas.kafka_connection import VARIABLES, kafka_options
from schemas.topics import COMMANDS, DEAD_LETTERS, RESULTS
from tests.harness import PARTITIONS, worker_starter

# In a whole run a socket that was not closed failed a test of this module; alone it passes. Whether one of these tests
# leaves the socket, or one before them, is not known.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)

# A topic that tests make for themselves would need a right of its own.


class Secure:
    """The broker, and what a process of one of its users has in its environment."""

    def __init__(self, broker, folder):
        self.broker = broker
        self.bootstrap = broker.bootstrap
        self.folder = folder

    def settings(self, user, **changes):
        """Return a user's variables; `CA=None` takes one away."""
        changed = {f"HOLDFAST_KAFKA_{name}": value for name, value in changes.items()}
        settings = self.broker.security.settings(user, self.bootstrap) | changed
        return {name: str(value) for name, value in settings.items() if value is not None}

    @contextlib.contextmanager
    def acting_as(self, user, **changes):
        """Let this process be a user for a block."""
        with mock.patch.dict(os.environ):
            for name in VARIABLES:
                os.environ.pop(name, None)
            os.environ |= self.settings(user, **changes)
            yield

    @contextlib.contextmanager
    def without(self, user, right):
        """Take a right away from a user for a block."""
        try:
            self._as_admin(lambda client: disallow(client, [Acl(user, right)]))
            yield
        finally:
            self._as_admin(lambda client: allow(client, [Acl(user, right)]))

    def _as_admin(self, work):
        async def run():
            host, _, port = self.bootstrap.rpartition(":")
            connection = await create_conn(host, int(port), **kafka_options(self.settings("admin")))
            try:
                await work(connection)
            finally:
                await close(connection)

        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(run())).result()


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secure")
    broker = Broker(folder / "broker", secure=True)
    broker.start()
    secure = Secure(broker, folder)
    with secure.acting_as("topics"):
        asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS))
    yield secure
    broker.stop()


# What the broker's directory shows


def test_only_the_owner_may_read_the_files_of_a_secure_broker(secure):
    files = [path for path in (secure.folder / "broker").iterdir() if path.suffix in {".pem", ".password", ".env"}]
    assert len(files) == 2 + 2 * len(ROLES) + 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in [*files, secure.folder / "broker/server.properties"]} == {
        0o600
    }
    assert stat.S_IMODE((secure.folder / "broker").stat().st_mode) == 0o700


def test_no_password_is_in_the_words_of_the_process_or_in_its_log(secure):
    passwords = [path.read_text().strip() for path in (secure.folder / "broker").glob("*.password")]
    words = Path(f"/proc/{secure.broker.pid}/cmdline").read_text()
    shown = words + secure.broker.log_file.read_text()
    assert len(set(passwords)) == len(ROLES) + 2
    assert not [password for password in passwords if password in shown]


def test_a_file_of_settings_is_all_that_a_shell_needs(secure):
    script = f"set -a; . {secure.folder}/broker/gateway.env; env"
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={}).stdout
    assert set(secure.settings("gateway").items()) <= {tuple(line.split("=", 1)) for line in shown.splitlines()}


def test_a_secure_broker_does_not_start_without_security_nor_another_one_with_it(tmp_path):
    (tmp_path / "admin.password").write_text("x")
    with pytest.raises(RuntimeError, match="was made with --secure; without it, everybody could do all"):
        Broker(tmp_path).start()
    (tmp_path / "plain/logs").mkdir(parents=True)
    (tmp_path / "plain/logs/meta.properties").write_text("cluster.id=x\n")
    with pytest.raises(RuntimeError, match=r"knows no user 'admin'.*Give --secure a new --data-dir"):
        Broker(tmp_path / "plain", secure=True).start()


# Rights


@pytest.mark.parametrize("name", ROLES)
async def test_a_role_has_the_rights_that_it_needs(secure, name):
    with secure.acting_as(name):
        assert await missing_rights(secure.bootstrap, ROLES[name].rights) == []


# Of rights on many topics alike, one is enough; those of caller and auditor are made the same way.
ROWS = [
    (name, right)
    for name in ("topics", "worker", "gateway", "webhooks", "auditor")
    for right in ROLES[name].rights
    if name not in {"topics", "auditor"} or right.kind != TOPIC or right.name == DEAD_LETTERS
]


@pytest.mark.parametrize(("name", "right"), ROWS, ids=lambda it: it if isinstance(it, str) else "-".join(it))
async def test_one_right_less_is_refused_and_named(secure, name, right):
    with secure.without(name, right), secure.acting_as(name):
        missing = await missing_rights(secure.bootstrap, ROLES[name].rights)
        assert right in missing
        # Of a topic that its user may not even see, Kafka tells no right.
        assert {it.name for it in missing} == {right.name}
        assert f"user {name} (HOLDFAST_KAFKA_USERNAME) lacks the right {right}. Give it" in lack_of([right])
        with pytest.raises(Exception, match=r"(?i)authorization ?_?failed"):
            await asyncio.wait_for(use(secure.bootstrap, right), 10)


async def use(bootstrap, right):
    """Do what the right is for, with the client that does it in the product."""
    what = {
        "topic": use_topic,
        "group": use_group,
        "transactional-id": use_transactional_id,
        "cluster": use_cluster,
    }[right.kind]
    await what(bootstrap, right)


async def use_topic(bootstrap, right):
    if right.operation == "Read":
        reader = LogReader(bootstrap, right.name, 0, client_id="test", fetch_bytes=1000, wait_ms=0)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(reader.close)
            await reader.start()
            await reader.fetch(0)
    elif right.operation == "Write":
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **kafka_options())
        await producer.start()
        try:
            await producer.send_and_wait(right.name, b"{}", partition=0)
        finally:
            await producer.stop()
    else:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **kafka_options())
        await admin.start()
        try:
            check(await ask_admin(admin, right))
        finally:
            await admin.close()


async def ask_admin(admin, right):
    if right.operation == "Create":
        answer = await admin.create_topics([NewTopic(right.name, num_partitions=PARTITIONS, replication_factor=1)])
        return answer.topic_errors[0][1]
    if right.operation == "Describe":
        return (await admin.describe_topics([right.name]))[0]["error_code"]
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, right.name)])
    return answer.resources[0][0]


async def use_group(bootstrap, right):
    name = right.name.replace("*", "ID")
    if right.operation == "Read":
        consumer = AIOKafkaConsumer(RESULTS, COMMANDS, bootstrap_servers=bootstrap, group_id=name, **kafka_options())
        try:
            await consumer.start()
            await consumer.getone()
        finally:
            await consumer.stop()
    else:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **kafka_options())
        await admin.start()
        try:
            await admin.list_consumer_group_offsets(name)
        finally:
            await admin.close()


async def use_transactional_id(bootstrap, right):
    client = TransactionClient(bootstrap, right.name.replace("*", "9"), timeout_ms=1_000)
    try:
        await client.start([RESULTS])
        await client.begin()
    finally:
        await client.close()


async def use_cluster(bootstrap, _right):
    client = AIOKafkaClient(bootstrap_servers=bootstrap, **kafka_options())
    await client.bootstrap()
    marker = Marker(1, 0, committed=False, topics=[TopicPartitions(RESULTS, [0])], coordinator_epoch=0)
    answer = await client.send(client.get_random_node(), WriteTxnMarkers([marker]))
    await client.close()
    check(answer.markers[0].topics[0].partitions[0].error_code)


def check(code):
    if code:
        raise for_code(code)


# What a process says


@pytest.fixture
def others_ca(tmp_path):
    ensure_certificates(tmp_path / "other-ca.pem", tmp_path / "node.pem", "localhost")
    return tmp_path / "other-ca.pem"


@pytest.fixture
def wrong_password(tmp_path):
    (tmp_path / "wrong").write_text("sesame")
    return tmp_path / "wrong"


@pytest.fixture
def troubles(others_ca, wrong_password):
    """Return what is wrong and the end of the sentence about it."""
    return {
        "password": ({"PASSWORD_FILE": wrong_password}, "HOLDFAST_KAFKA_USERNAME and HOLDFAST_KAFKA_PASSWORD_FILE."),
        "user": ({"USERNAME": "nobody"}, "user nobody with this password; look at HOLDFAST_KAFKA_USERNAME and"),
        "authority": ({"CA": others_ca}, f"HOLDFAST_KAFKA_CA, which is {others_ca} (unable to get local issuer"),
        "no authority": ({"CA": None}, "HOLDFAST_KAFKA_CA, which is not set: the system's own authorities count ("),
        "mechanism": ({"SASL": "SCRAM-SHA-256"}, "does not take SCRAM-SHA-256; look at HOLDFAST_KAFKA_SASL."),
        "plain text": (dict.fromkeys(name.removeprefix("HOLDFAST_KAFKA_") for name in VARIABLES),
                       "HOLDFAST_KAFKA_SECURITY, which is PLAINTEXT: perhaps this port wants TLS or a user"),
        "no user": ({"SECURITY": "SSL", "SASL": None, "USERNAME": None, "PASSWORD_FILE": None},
                    "HOLDFAST_KAFKA_SECURITY, which is SSL: perhaps this port wants TLS or a user"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["password", "user", "authority", "no authority", "mechanism", "plain text", "no user"]
)
async def test_what_keeps_broker_and_process_apart_is_named(secure, troubles, name):
    changes, sentence = troubles[name]
    with secure.acting_as("gateway", **changes):
        found = await connection_trouble(secure.bootstrap)
    assert sentence in found.sentence
    assert found.is_certain is (name not in {"plain text", "no user"})


async def test_a_certificate_for_another_name_is_named(secure):
    port = secure.bootstrap.rpartition(":")[2]
    with secure.acting_as("gateway"):
        found = await connection_trouble(f"127.1:{port}")  # the same address under a name that is not in it
        assert "is for another name (Hostname mismatch" in found.sentence
        assert found.sentence.endswith("in HOLDFAST_BOOTSTRAP.")
        assert await connection_trouble(secure.bootstrap) is None
        assert await connection_trouble("127.0.0.1:1") is None


async def test_a_controller_wants_the_nodes_own_certificate(secure):
    """Nobody gets past the rights by the controller's port."""
    properties = (secure.folder / "broker/server.properties").read_text()
    port = re.findall(r"controller.quorum.voters=1@127.0.0.1:(\d+)", properties)[-1]
    with secure.acting_as("admin", SECURITY="SSL", SASL=None, USERNAME=None, PASSWORD_FILE=None):
        found = await connection_trouble(f"127.0.0.1:{port}")
    assert "wants a certificate of this process, or another one; look at HOLDFAST_KAFKA_CERT and" in found.sentence


@pytest.mark.parametrize("trouble", ["password", "authority"])
@pytest.mark.parametrize("command", ["worker", "gateway", "doctor", "send", "audit"])
def test_a_process_ends_with_one_line_about_it(secure, holdfast, troubles, tmp_path, command, trouble):
    changes, sentence = troubles[trouble]
    options = ["--data-dir", tmp_path] if command in {"worker", "doctor"} else []
    with secure.acting_as("worker", **changes):
        ended = holdfast(command, "--bootstrap", secure.bootstrap, *options, given="")
    assert ended.exit_code == (1 if command == "doctor" else 2)
    assert [line for line in ended.stderr.splitlines() if sentence in line]
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(("command", "right"), [
    ("worker", Right("Write", TOPIC, RESULTS)),
    ("worker", Right("Write", TRANSACTIONAL_ID, "holdfast-*")),
    ("gateway", Right("Read", TOPIC, RESULTS)),
    ("gateway", Right("Describe", GROUPS, "holdfast")),
])  # fmt: skip
def test_a_service_without_a_right_names_it_and_ends(secure, holdfast, tmp_path, command, right):
    options = ["--data-dir", tmp_path] if command == "worker" else []
    with secure.without(command, right), secure.acting_as(command):
        ended = holdfast(command, "--bootstrap", secure.bootstrap, "--partitions", PARTITIONS, *options)
    assert ended.exit_code == 2
    seen = f"sees no topic {right.name}" if right == Right("Read", TOPIC, RESULTS) else f"lacks the right {right}"
    assert seen in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(("command", "user", "right"), [
    (("send",), "caller", Right("Write", TOPIC, COMMANDS)),
    (("stock", "A"), "caller", Right("Read", TOPIC, RESULTS)),
    (("tail", "results"), "auditor", Right("Read", TOPIC, RESULTS)),
    (("audit", "--wait", "0"), "auditor", Right("Read", TOPIC, RESULTS)),
    (("doctor",), "auditor", Right("Describe", GROUPS, "holdfast")),
])  # fmt: skip
def test_a_command_without_a_right_says_so_and_ends(secure, holdfast, tmp_path, command, user, right):
    options = ["--data-dir", tmp_path, "--partitions", PARTITIONS] if command == ("doctor",) else []
    query = json.dumps({"command_id": "q", "type": "query", "sku": "A"}) + "\n"
    with secure.without(user, right), secure.acting_as(user):
        ended = holdfast(*command, "--bootstrap", secure.bootstrap, *options, given=query)
    assert ended.exit_code == (1 if command == ("doctor",) else 2), ended.stderr
    assert "docs/how-to/secure-kafka.md" in ended.stderr
    assert right.name in ended.stderr


# All of it together


@contextlib.contextmanager
def running(secure, folder, name, *options):
    """Run a service as its own user, and return the second word of its ready line."""
    command = [sys.executable, "-m", "ops.cli", name, "--partitions", str(PARTITIONS), *options]
    with secure.acting_as(name), (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    with process:
        try:
            line = process.stdout.readline()
            assert line.startswith("ready"), (folder / f"{name}.log").read_text()
            yield line.split()[1]
        finally:
            process.terminate()


class Receiver(BaseHTTPRequestHandler):
    """Takes every webhook, and keeps the first."""

    def do_POST(self):
        self.server.bodies.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        return


@contextlib.contextmanager
def receiver(folder):
    """Run a receiver of webhooks, and return the queue of what it gets, and the file that names it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.bodies = queue.Queue()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        secret = "whsec_" + base64.b64encode(bytes(24)).decode()
        endpoint = {"id": "shop", "url": f"http://127.0.0.1:{server.server_port}/", "secrets": [secret]}
        endpoint |= {"types": ["stock-change"], "channels": ["web"]}
        file = folder / "webhooks.json"
        file.write_text(json.dumps({"endpoints": [endpoint]}))
        file.chmod(0o600)
        try:
            yield server.bodies, file
        finally:
            server.shutdown()


def test_webhooks_are_delivered_with_their_own_rights_alone(secure, tmp_path):
    with worker_starter() as start, receiver(tmp_path) as (bodies, file):
        with secure.acting_as("worker"):
            worker = start(secure.bootstrap, tmp_path / "worker")
        asyncio.run(worker.ready())
        with (
            running(secure, tmp_path, "gateway", "--port", "0") as url,
            mock.patch.dict(os.environ, {"HOLDFAST_WEBHOOKS_FILE": str(file)}),
            running(secure, tmp_path, "webhooks"),
        ):
            adjust = {"sku": "cup", "warehouse": "leeds", "delta": 10, "reason": "receipt"}
            assert post(f"{url}/v1/adjustments", adjust, "a-2")["status"] == "accepted"
            assert bodies.get(timeout=20)["data"][0]["sku"] == "cup"


def post(url, document, key):
    headers = {"Idempotency-Key": key}
    answer = httpx.post(url, json=document, headers=headers, timeout=30)
    return answer.json()


def test_worker_gateway_and_commands_do_their_work_with_their_own_rights_alone(secure, holdfast, tmp_path):
    def run(user, *arguments, given=None):
        with secure.acting_as(user):
            done = holdfast(*arguments, "--bootstrap", secure.bootstrap, given=given)
        assert done.exit_code == 0, f"{done.stdout}{done.stderr}"
        return done.stdout

    channel = {"type": "set_channel", "command_id": "ch-1", "channel": "web", "version": 1}
    query = {"type": "query", "command_id": "q-1", "sku": "mug"}
    with worker_starter() as start:
        with secure.acting_as("worker"):
            worker = start(secure.bootstrap, tmp_path / "worker", standbys=1)
        asyncio.run(worker.ready())
        with running(secure, tmp_path, "gateway", "--port", "0") as url:
            adjust = {"sku": "mug", "warehouse": "leeds", "delta": 10, "reason": "receipt"}
            assert post(f"{url}/v1/adjustments", adjust, "a-1")["status"] == "accepted"
            hold = {"sku": "mug", "reservation_id": "cart", "quantity": 3, "channel": "web"}
            assert post(f"{url}/v1/reservations", hold, "r-1")["status"] == "accepted"
            assert httpx.get(f"{url}/health/ready", timeout=30).status_code == 200
        assert '"accepted"' in run("caller", "reference", "set", "-", given=json.dumps(channel) + "\n")
        assert '"reserved":3' in run("caller", "send", "--wait", given=json.dumps(query) + "\n")
        assert json.loads(run("caller", "stock", "mug", "--json"))["stock"][0]["available"] == 7
        assert run("auditor", "tail", "results", "--from-beginning", "-n", "1")
        assert run("auditor", "stock", "mug", "--at", "2100-01-01")
        doctor = run("auditor", "doctor", "--partitions", PARTITIONS, "--data-dir", tmp_path)
        assert "answers at" in doctor
        run("topics", "topics", "--partitions", PARTITIONS)
        run("auditor", "audit", "--processes", "2")
        assert "WARN" not in worker.log()
