"""Dead letters are listed newest first, from a real Kafka."""

import base64
import uuid

import httpx
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from gateway import dead_letters
from gateway.app import Gateway
from gateway.config import GatewayConfig
from schemas.dead_letters import DeadLetter

PARTITIONS = 4


@pytest.fixture
async def topic(broker, monkeypatch):
    """Make a topic of dead letters that no other test writes to, and return its name."""
    name = f"dead-letters-{uuid.uuid4().hex[:12]}"
    monkeypatch.setattr(dead_letters, "DEAD_LETTERS", name)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    await admin.close()
    return name


@pytest.fixture
async def client(broker, ledger, topic):  # noqa: ARG001 - it must be there before
    gateway = Gateway(GatewayConfig(bootstrap=broker.bootstrap, partitions=PARTITIONS), ledger)
    transport = httpx.ASGITransport(gateway.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as client:
        yield client


class Writer:
    """Writes letters in transactions of a few, as workers do: each ends with a marker, which has an offset too."""

    def __init__(self, broker, topic):
        self._topic = topic
        self._settings = {"bootstrap_servers": broker.bootstrap, "transactional_id": f"dead-{uuid.uuid4().hex}"}

    async def __aenter__(self):
        self._producer = AIOKafkaProducer(**self._settings)
        await self._producer.start()
        return self

    async def __aexit__(self, *_):
        await self._producer.stop()

    async def write(self, *letters, at, abort=False):
        await self._producer.begin_transaction()
        for it in letters:
            sent = await self._producer.send(
                self._topic, it.value, it.key, partition=it.partition, timestamp_ms=at, headers=it.headers()
            )
        await self._producer.flush()
        await (self._producer.abort_transaction() if abort else self._producer.commit_transaction())
        return await sent


def letter(partition, offset, value=b"x", key=b"k"):
    return DeadLetter.of(key, value, "malformed", partition=partition, offset=offset)


async def listed(client, query=""):
    """Return all letters as (partition, offset), page after page."""
    url, found = f"/v1/dead-letters?{query}", []
    while url is not None:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        found += [(it["partition"], it["offset"]) for it in answer.json()["items"]]
        link = answer.headers.get("link")
        assert (link is None) == (answer.json()["next"] is None)
        url = None if link is None else link.removeprefix("<").removesuffix('>; rel="next"')
    return found


async def test_letters_of_all_partitions_are_listed_newest_first_in_pages_of_any_size(client, broker, topic):
    assert (await client.get("/v1/dead-letters")).json() == {"items": [], "next": None}
    order = []
    async with Writer(broker, topic) as writer:
        for number in range(25):
            partition = number % 3  # nothing is in the last one
            await writer.write(letter(partition, 2 * number), letter(partition, 2 * number + 1), at=1_000 + number)
            order += [(partition, 2 * number), (partition, 2 * number + 1)]
            if number == 15:
                await writer.write(*(letter(3, 1_000 + it) for it in range(40)), at=1_000, abort=True)
    for limit in (9, 100):
        assert await listed(client, f"limit={limit}") == order[::-1]


async def test_what_is_written_meanwhile_shifts_nothing(client, broker, topic):
    async with Writer(broker, topic) as writer:
        await writer.write(*(letter(0, offset) for offset in range(5)), at=1_000)
        first = (await client.get("/v1/dead-letters?limit=2")).json()
        await writer.write(letter(0, 5), letter(1, 0), at=2_000)
    second = (await client.get("/v1/dead-letters", params={"cursor": first["next"]})).json()
    assert [it["offset"] for it in first["items"] + second["items"]] == [4, 3, 2, 1, 0]
    assert second["next"] is None
    assert len(await listed(client)) == 7


async def test_a_letter_is_shown_as_text_where_it_is_text_and_else_as_base64(client, broker, topic):
    raw = b"\xff\x00"
    letters = [
        DeadLetter.of(b"sku", '{"ä'.encode(), "malformed", partition=0, offset=7),
        DeadLetter.of(raw, raw, "malformed", partition=0, offset=8),
        DeadLetter.of(b"", None, "malformed", partition=0, offset=9),
        DeadLetter.of(b"k" * 11_000, b"v" * 1_150_000, "malformed", partition=0, offset=10),
        DeadLetter.of_batch("batch_too_large", 11, 14, partition=0),
    ]
    async with Writer(broker, topic) as writer:
        for at, it in enumerate(letters, start=1_000):
            it.value = it.value and it.value[:100]  # this topic takes less than that of the ledger
            it.key = b"" if it.key is None else it.key  # aiokafka's producer wants one of the two
            await writer.write(it, at=at)
    batch, cut, empty, binary, text = (await client.get("/v1/dead-letters")).json()["items"]
    assert text == {
        "partition": 0, "offset": 7, "at": 1_000, "reason": "malformed", "key": "sku", "value": '{"ä',
    }  # fmt: skip
    assert (binary["encoding"], binary["key_encoding"]) == ("base64", "base64")
    assert (base64.b64decode(binary["key"]), base64.b64decode(binary["value"])) == (raw, raw)
    assert (empty["key"], empty["value"]) == ("", None)
    assert (cut["cut_key"], cut["cut_value"], len(cut["key"])) == (11_000, 1_150_000, 10_000)
    assert (batch["last_offset"], batch["reason"], batch["value"]) == (14, "batch_too_large", None)


async def test_a_page_of_large_letters_is_shorter_and_the_list_goes_on(client, broker, topic, monkeypatch):
    monkeypatch.setattr(dead_letters, "MOST_BYTES", 250)
    monkeypatch.setattr(dead_letters, "_KEPT_BYTES", 150)
    async with Writer(broker, topic) as writer:
        for offset in range(10):
            await writer.write(letter(offset % 2, offset, b"x" * 100), at=1_000 + offset)
    first = (await client.get("/v1/dead-letters")).json()
    assert [it["offset"] for it in first["items"]] == [9, 8, 7]
    assert [offset for _, offset in await listed(client)] == [*range(9, -1, -1)]


async def test_a_cursor_that_the_log_no_longer_holds_is_gone(client, broker, topic):
    async with Writer(broker, topic) as writer:
        for offset in range(6):
            await writer.write(letter(0, offset), at=1_000 + offset)
    page = (await client.get("/v1/dead-letters?limit=4")).json()
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(8)})
    await admin.close()
    for cursor in (page["next"], "0:99"):
        answer = await client.get("/v1/dead-letters", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (410, "position_gone")
    assert await listed(client) == [(0, 5), (0, 4)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("cursor=", "cursor"),
        ("cursor=4:1", "cursor"),
        ("cursor=0:1,0:2", "cursor"),
        ("cursor=x", "cursor"),
        ("limit=101", "limit"),
    ],
)
async def test_a_parameter_that_is_none_is_named(client, query, field):
    answer = await client.get(f"/v1/dead-letters?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_while_kafka_is_away_nothing_is_listed(client, ledger):
    ledger.unavailable = "gone"
    answer = await client.get("/v1/dead-letters")
    assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")


async def test_what_somebody_else_wrote_to_the_topic_is_shown_at_its_own_place(client, broker, topic):
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    await producer.send_and_wait(topic, b"v", b"k", partition=2, headers=[("partition", b"x"), ("reason", b"\xff")])
    await producer.stop()
    (item,) = (await client.get("/v1/dead-letters")).json()["items"]
    assert (item["partition"], item["offset"], item["reason"]) == (2, 0, "\N{REPLACEMENT CHARACTER}")
