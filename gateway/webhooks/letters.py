"""Owns the dead letters of webhooks: records that an endpoint refuses, with why (`inventory.webhook-dead-letters`)."""

from collections.abc import Sequence

from aiokafka import AIOKafkaProducer, ConsumerRecord

from gateway.webhooks.requests import Reaction
from schemas.topics import WEBHOOK_DEAD_LETTERS


class RefusedLetters:
    """Writes dead letters.

    Args:
        producer: a started producer.
    """

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def write(self, endpoint_id: str, records: Sequence[ConsumerRecord], answer: Reaction, attempts: int) -> None:
        """Write a letter for each record of a message, unchanged, and wait until Kafka has them."""
        sent = []
        for record in records:
            headers = {
                "endpoint": endpoint_id,
                "reason": answer.reason,
                "status": str(answer.status or ""),
                "attempts": str(attempts),
                "topic": record.topic,
                "partition": str(record.partition),
                "offset": str(record.offset),
            }
            sent.append(
                await self._producer.send(
                    WEBHOOK_DEAD_LETTERS,
                    record.value,
                    key=record.key,
                    partition=record.partition,
                    headers=[(name, value.encode()) for name, value in headers.items()],
                )
            )
        for each in sent:
            await each
