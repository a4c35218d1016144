"""Owns the status of a partition: what its owner says about it, so that others see who serves it and how far it is.

No decision of the ledger rests on it. A record is overwritten by the next one of its partition.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

# The epochs of one producer id; the next transaction of a used-up id gets a new id and begins at 0.
_EPOCHS_OF_AN_ID = 1 << 15
# A partition whose latest record is older has no owner: an owner writes each second.
OWNER_SILENT_S = 5.0

PartitionState = Literal["recovering", "open", "stopped"]


class TransactionTimes(msgspec.Struct, gc=False):
    """How long the transactions of the last 10 s took."""

    p50: Annotated[int, Meta(description="The median, ms.")]
    p99: Annotated[int, Meta(description="99 of 100 took no longer, ms.")]


class PartitionStatus(msgspec.Struct, gc=False):
    """What a partition's owner says about it: each second, and when its state changes."""

    partition: Annotated[int, Meta(description="Which partition.")]
    worker: Annotated[str, Meta(description="The instance id of the worker that says this.")]
    state: Annotated[
        PartitionState,
        Meta(
            description="`recovering`: its commands wait; `open`: they are decided; `stopped`: given up by this worker."
        ),
    ]
    position: Annotated[int, Meta(description="The offset of the next command; null while it is not known.")] | None
    log_end: (
        Annotated[int, Meta(description="The end of the commands when they were last read; null before that.")] | None
    )
    recovered: Annotated[int, Meta(description="Offsets of the changelog that the last recovery has read.")]
    to_recover: Annotated[int, Meta(description="Offsets of the changelog that the last recovery reads in all.")]
    transaction_ms: (
        Annotated[TransactionTimes, Meta(description="The times of the last transactions; null without any in 10 s.")]
        | None
    )
    epoch: Annotated[
        int,
        Meta(
            description="Grows with each owner and each transaction; 0 before the owner has fenced the one before. "
            "While a greater one is fresh, ignore a smaller one of another worker: it is a zombie's."
        ),
    ]
    at: Annotated[
        int, Meta(description="The worker's time of day, ms since the Unix epoch; the record's is the broker's.")
    ]


def key_of(partition: int) -> bytes:
    """Return the key of a partition's record."""
    return b"inventory/%d" % partition


def epoch_of(producer_id: int, producer_epoch: int) -> int:
    """Return the `epoch` of a record from the owner's producer; 0 before it has one.

    A producer's own epoch alone would not do: after 32,767 transactions Kafka gives the owner a new producer id, and
    the epoch begins at 0. So the id is part of the number (plus one: 0 is an id too). Ids of one broker grow; that of
    another broker may be smaller. Then a new owner is ignored until the old one has been silent for `OWNER_SILENT_S`,
    and no longer: readers take any record of the worker that they know, and any record when the known one is stale or
    `stopped`.
    """
    return (producer_id + 1) * _EPOCHS_OF_AN_ID + producer_epoch if producer_id >= 0 else 0


encode_status = msgspec.json.Encoder().encode
decode_status = msgspec.json.Decoder(PartitionStatus).decode
