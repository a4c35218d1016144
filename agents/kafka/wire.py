"""Owns the requests that aiokafka lacks: transactions v2 (KIP-890), hanging ones (KIP-664), features, LeaveGroup.

A request and its answer are declared once, as classes whose annotations are the fields on the wire, in order;
aiokafka's classes are derived from them. Layouts are those of Apache Kafka's message definitions
(`clients/src/main/resources/common/message`).
"""

import dataclasses
from io import BytesIO
from typing import Annotated, Any, ClassVar, NamedTuple, dataclass_transform, get_args, get_origin, get_type_hints

from aiokafka.protocol.api import Request, RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
    UnsignedVarInt32,
)

_STRING = CompactString("utf-8")

Flag = Annotated[bool, Boolean]
I8 = Annotated[int, Int8]
I16 = Annotated[int, Int16]
I32 = Annotated[int, Int32]
I64 = Annotated[int, Int64]
Text = Annotated[str, _STRING]
TextOrNone = Annotated[str | None, _STRING]
Records = Annotated[bytes | bytearray, CompactBytes]
Tags = Annotated[dict[int, bytes], TaggedFields]


class _Row(Schema):
    """A schema that encodes and decodes the named tuples of a class.

    Every row of these versions ends with tagged fields; the tuples leave them out unless the class has a field of type
    `Tags`.
    """

    def __init__(self, kind: Any) -> None:
        hints = get_type_hints(kind, include_extras=True)
        self._kind = kind
        self._hides_tags = Tags not in hints.values()
        fields = [(name, _on_the_wire(hint)) for name, hint in hints.items()]
        super().__init__(*fields, *([("tags", TaggedFields)] if self._hides_tags else ()))

    def encode(self, item: Any) -> bytes:
        """Encode a row."""
        encoded: bytes = super().encode([*item, {}] if self._hides_tags else item)
        return encoded

    def decode(self, data: BytesIO) -> Any:
        """Decode a row."""
        values = super().decode(data)
        return self._kind(*(values[:-1] if self._hides_tags else values))


def _on_the_wire(hint: Any) -> Any:
    """Return how aiokafka writes and reads a field of this type."""
    if get_origin(hint) is Annotated:
        return get_args(hint)[1]
    (of,) = get_args(hint)
    # Not `CompactArray(of)` alone: aiokafka accepts a single schema only as an instance, which a row is.
    return CompactArray(_on_the_wire(of) if get_origin(of) is Annotated else _Row(of))


@dataclass_transform()
class KafkaRequest(Request[RequestStruct]):
    """A request: `class EndTxn(KafkaRequest, key=26, version=5, answer=EndTxnResponse)`, then its fields.

    Args of a subclass:
        key: the number of the API.
        version: the only version that is sent.
        answer: the class of the answer.
        old_header: whether the answer's header has no tagged fields.
    """

    API_KEY: ClassVar[int] = -1
    struct: ClassVar[type[RequestStruct]]
    answer: ClassVar[type[Response]]

    def __init_subclass__(cls, *, key: int, version: int, answer: Any, old_header: bool = False) -> None:
        cls.API_KEY = key
        super().__init_subclass__()
        dataclasses.dataclass(eq=False)(cls)
        cls.answer = _answer_class(f"{cls.__name__}Answer", key, version, answer)
        hints = get_type_hints(cls, include_extras=True)
        fields = [(field.name, _on_the_wire(hints[field.name])) for field in dataclasses.fields(cls)]
        members: dict[str, Any] = {
            "FLEXIBLE_VERSION": True,
            "API_KEY": key,
            "API_VERSION": version,
            "RESPONSE_TYPE": cls.answer,
            "SCHEMA": Schema(*fields, ("tags", TaggedFields)),
        }
        if old_header:
            members["parse_response_header"] = lambda _, read_buffer: ResponseHeader_v0.decode(read_buffer)
        if "encode" in vars(cls):
            members["encode"] = vars(cls)["encode"].__func__
        cls.struct = type(RequestStruct)(f"{cls.__name__}Struct", (RequestStruct,), members)
        cls._CLASSES = (cls.struct,)

    def build(self, request_struct_class: type[RequestStruct]) -> RequestStruct:
        """Return the request as aiokafka sends it."""
        return request_struct_class(*vars(self).values(), {})


def _answer_class(name: str, key: int, version: int, kind: Any) -> Any:
    row = _Row(kind)

    def decode(cls: Any, data: BytesIO | bytes) -> Any:
        del cls
        return row.decode(BytesIO(data) if isinstance(data, bytes) else data)

    members = {"API_KEY": key, "API_VERSION": version, "SCHEMA": row, "decode": classmethod(decode)}
    return type(Response)(name, (Response,), members)


class TopicPartitions(NamedTuple):
    """Partitions of a topic."""

    name: Text
    partitions: list[I32]


class ProducerResponse(NamedTuple):
    """Answer of InitProducerId v5 and EndTxn v5: the producer id and epoch for the next transaction."""

    throttle_time_ms: I32
    error_code: I16
    producer_id: I64
    producer_epoch: I16


class InitProducerId(KafkaRequest, key=22, version=5, answer=ProducerResponse):
    """InitProducerId v5: ends earlier transactions of the transactional id, and returns a new epoch."""

    transactional_id: Text
    transaction_timeout_ms: I32
    producer_id: I64
    producer_epoch: I16


class EndTxn(KafkaRequest, key=26, version=5, answer=ProducerResponse):
    """EndTxn v5: commits or aborts the transaction, and returns the next epoch."""

    transactional_id: Text
    producer_id: I64
    producer_epoch: I16
    committed: Flag


class RecordError(NamedTuple):
    """A record that its broker refuses."""

    batch_index: I32
    message: TextOrNone


class ProducedPartition(NamedTuple):
    """How the batch for one partition was written, or its error."""

    partition: I32
    error_code: I16
    base_offset: I64
    log_append_time_ms: I64 = -1
    log_start_offset: I64 = 0
    record_errors: list[RecordError] = []  # noqa: RUF012 - a named tuple does not change it
    error_message: TextOrNone = None


class ProducedTopic(NamedTuple):
    """The results of the batches for one topic."""

    name: Text
    partitions: list[ProducedPartition]


class ProduceResponse(NamedTuple):
    """Answer of Produce v12: an error code per partition."""

    topics: list[ProducedTopic]
    throttle_time_ms: I32 = 0


class PartitionBatch(NamedTuple):
    """A record batch for a partition."""

    partition: I32
    records: Records


class TopicBatches(NamedTuple):
    """The record batches for a topic's partitions."""

    name: Text
    partitions: list[PartitionBatch]


class Produce(KafkaRequest, key=0, version=12, answer=ProduceResponse):
    """Produce v12: one record batch per partition; the broker adds the partitions to the transaction."""

    transactional_id: Text
    acks: I16
    timeout_ms: I32
    topics: list[TopicBatches]

    @staticmethod
    def encode(struct: Any) -> bytes:
        """Return the encoded request. aiokafka's encoder would copy the records six times, 8 % of the work."""
        no_tags = TaggedFields.encode({})
        pieces = [
            _STRING.encode(struct.transactional_id),
            Int16.encode(struct.acks),
            Int32.encode(struct.timeout_ms),
            UnsignedVarInt32.encode(len(struct.topics) + 1),
        ]
        for name, partitions in struct.topics:
            pieces += [_STRING.encode(name), UnsignedVarInt32.encode(len(partitions) + 1)]
            for partition, records in partitions:
                pieces += [Int32.encode(partition), UnsignedVarInt32.encode(len(records) + 1), records, no_tags]
            pieces.append(no_tags)
        pieces.append(no_tags)
        return b"".join(pieces)


class DescribedTransaction(NamedTuple):
    """The coordinator's knowledge of a transactional id; `state` is its name of the state."""

    error_code: I16
    transactional_id: Text
    state: Text
    timeout_ms: I32
    start_time_ms: I64
    producer_id: I64
    producer_epoch: I16
    topics: list[TopicPartitions]


class DescribeTransactionsResponse(NamedTuple):
    """Answer of DescribeTransactions v0."""

    throttle_time_ms: I32
    transactions: list[DescribedTransaction]


class DescribeTransactions(KafkaRequest, key=65, version=0, answer=DescribeTransactionsResponse):
    """DescribeTransactions v0: asks a coordinator how transactional ids stand."""

    transactional_ids: list[Text]


class ListedTransaction(NamedTuple):
    """A transactional id that a broker coordinates; `state` is its name of the state."""

    transactional_id: Text
    producer_id: I64
    state: Text


class ListTransactionsResponse(NamedTuple):
    """Answer of ListTransactions v0."""

    throttle_time_ms: I32
    error_code: I16
    unknown_states: list[Text]
    transactions: list[ListedTransaction]


class ListTransactions(KafkaRequest, key=66, version=0, answer=ListTransactionsResponse):
    """ListTransactions v0: asks a broker which transactional ids it coordinates; an empty list means no filter."""

    states: list[Text]
    producer_ids: list[I64]


class DescribedProducer(NamedTuple):
    """A producer of a partition; `open_from` is the first offset of its open transaction, -1 when it has none."""

    producer_id: I64
    producer_epoch: I32
    last_sequence: I32
    last_timestamp_ms: I64
    coordinator_epoch: I32
    open_from: I64


class PartitionProducers(NamedTuple):
    """The producers of a partition."""

    partition: I32
    error_code: I16
    error_message: TextOrNone
    producers: list[DescribedProducer]


class TopicProducers(NamedTuple):
    """The producers of the partitions of a topic."""

    name: Text
    partitions: list[PartitionProducers]


class DescribeProducersResponse(NamedTuple):
    """Answer of DescribeProducers v0."""

    throttle_time_ms: I32
    topics: list[TopicProducers]


class DescribeProducers(KafkaRequest, key=61, version=0, answer=DescribeProducersResponse):
    """DescribeProducers v0: asks the leader of partitions who writes to them."""

    topics: list[TopicPartitions]


class MarkedPartition(NamedTuple):
    """The error code of the marker for one partition."""

    partition: I32
    error_code: I16


class MarkedTopic(NamedTuple):
    """The error codes of the markers for the partitions of a topic."""

    name: Text
    partitions: list[MarkedPartition]


class WrittenMarker(NamedTuple):
    """The error codes of a producer's markers."""

    producer_id: I64
    topics: list[MarkedTopic]


class WriteTxnMarkersResponse(NamedTuple):
    """Answer of WriteTxnMarkers v1: an error code per partition."""

    markers: list[WrittenMarker]


class Marker(NamedTuple):
    """The end of a producer's transaction in some partitions."""

    producer_id: I64
    producer_epoch: I16
    committed: Flag
    topics: list[TopicPartitions]
    coordinator_epoch: I32


class WriteTxnMarkers(KafkaRequest, key=27, version=1, answer=WriteTxnMarkersResponse):
    """WriteTxnMarkers v1: asks the leader of partitions to write the marker that ends a transaction."""

    markers: list[Marker]


class ApiVersion(NamedTuple):
    """The versions of a request that a broker takes."""

    api_key: I16
    min_version: I16
    max_version: I16


class ApiVersionsResponse(NamedTuple):
    """Answer of ApiVersions v3; tag 2 holds the cluster's finalized features."""

    error_code: I16
    api_keys: list[ApiVersion]
    throttle_time_ms: I32
    tags: Tags


class ApiVersions(KafkaRequest, key=18, version=3, answer=ApiVersionsResponse, old_header=True):
    """ApiVersions v3. Its answer keeps the old header, so that any client can read a refusal."""

    client_name: Text
    client_version: Text


class LeavingMember(NamedTuple):
    """A member that leaves a group."""

    member_id: Text
    group_instance_id: TextOrNone


class LeftMember(NamedTuple):
    """The error code of a member that wanted to leave."""

    member_id: Text
    group_instance_id: TextOrNone
    error_code: I16


class LeaveGroupResponse(NamedTuple):
    """Answer of LeaveGroup v4."""

    throttle_time_ms: I32
    error_code: I16
    members: list[LeftMember]


class LeaveGroup(KafkaRequest, key=13, version=4, answer=LeaveGroupResponse):
    """LeaveGroup v4: a static member leaves at once and not when its session ends."""

    group_id: Text
    members: list[LeavingMember]


_FINALIZED_FEATURES_TAG = 2


def finalized_features(response: ApiVersionsResponse) -> dict[str, int]:
    """Return the finalized features of an `ApiVersions` answer: name -> level in force."""
    tagged = response.tags.get(_FINALIZED_FEATURES_TAG)
    if tagged is None:
        return {}
    data = BytesIO(tagged)
    features = {}
    for _ in range(UnsignedVarInt32.decode(data) - 1):
        name = _STRING.decode(data)
        features[str(name)] = Int16.decode(data)
        Int16.decode(data)
        TaggedFields.decode(data)
    return features
