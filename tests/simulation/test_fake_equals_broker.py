"""The fake Kafka of the simulation answers as a real broker does, scenario by scenario."""

import asyncio
import uuid
from random import Random

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.simulation.cluster import Cluster, Delays
from tests.simulation.installed import installed
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network
from tests.simulation.scenarios import SCENARIOS, Player


@pytest.fixture(scope="module")
def two_topics(broker):
    """Return two topics of its own to each scenario."""
    names = {scenario: [f"{uuid.uuid4().hex[:12]}-{n}" for n in range(2)] for scenario in SCENARIOS}

    async def create():
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        topics = [NewTopic(topic, num_partitions=1, replication_factor=1) for pair in names.values() for topic in pair]
        await admin.create_topics(topics)
        await admin.close()
        await asyncio.sleep(0.5)

    asyncio.run(create())
    return names


def play_to_fake(scenario):
    loop = VirtualLoop()
    cluster = Cluster(loop, Delays(), lambda: 0)
    loop.network = Network(loop, cluster, Random(1))
    for topic in ("topic-0", "topic-1"):
        cluster.create_topic(topic, 1)

    async def play():
        player = Player("simulated:9092", "id", ["topic-0", "topic-1"])
        seen = await scenario(player)
        await player.close()
        return seen

    with installed():
        seen = loop.run(play(), most_steps=1_000_000)
        loop.close()
    return seen


async def play_to_broker(scenario, bootstrap, topics):
    player = Player(bootstrap, uuid.uuid4().hex, topics)
    try:
        return await scenario(player)
    finally:
        await player.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_the_fake_answers_as_a_broker_does(scenario, broker, two_topics):
    seen = play_to_fake(scenario)
    assert seen == await play_to_broker(scenario, broker.bootstrap, two_topics[scenario])
