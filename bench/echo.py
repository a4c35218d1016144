"""Owns the echo: a process that answers every command with a plain record, outside any transaction.

The answer is the command itself. Run as `python -m bench.echo --bootstrap HOST:PORT`.
"""

import argparse
import asyncio

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.topics import PARTITIONS
from schemas.kafka_connection import kafka_options

COMMANDS = "echo-commands"
RESULTS = "echo-results"


async def run(bootstrap: str) -> None:
    """Answer until the process is ended."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", **kafka_options())
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
        **kafka_options(),
    )
    await producer.start()
    await consumer.start()
    consumer.assign([TopicPartition(COMMANDS, number) for number in range(PARTITIONS)])
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while True:
        for place, records in (await consumer.getmany(timeout_ms=1_000)).items():
            for record in records:
                sent = await producer.send(RESULTS, record.value, key=record.key, partition=place.partition)
                sent.add_done_callback(lambda future: _check(loop, future))


def _check(loop: asyncio.AbstractEventLoop, sent: "asyncio.Future[object]") -> None:
    if sent.exception() is not None:
        loop.stop()  # an echo that missed commands would give wrong figures, so it ends, which the caller notices


def main() -> None:
    """Run the echo as a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    uvloop.run(run(parser.parse_args().bootstrap))


if __name__ == "__main__":
    main()
