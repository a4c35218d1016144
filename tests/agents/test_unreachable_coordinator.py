"""A transaction client whose connection is lost while it looks for its coordinator says so; RECOVER tries again."""

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaConnectionError, KafkaError, NodeNotReadyError

from agents.transactions import TransactionClient


@pytest.fixture
async def client():
    client = TransactionClient("127.0.0.1:1", "an-id", timeout_ms=1_000)
    yield client
    await client.close()


# Errors that no broker answered with carry no number.
@pytest.mark.parametrize("error", [KafkaConnectionError("lost"), NodeNotReadyError("gone")], ids=repr)
async def test_a_lost_connection_reaches_the_caller_as_what_it_is(client, monkeypatch, error):
    async def lookup(*_):
        raise error

    monkeypatch.setattr(client._client, "coordinator_lookup", lookup)
    with pytest.raises(KafkaError) as raised:
        await client.begin()
    assert raised.value is error


async def test_a_coordinator_that_is_not_there_yet_is_asked_for_again(client, monkeypatch):
    answers = [GroupCoordinatorNotAvailableError(), 7]

    async def lookup(*_):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(client._client, "coordinator_lookup", lookup)
    assert await client._find_coordinator() == 7
