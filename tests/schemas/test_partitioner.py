"""A SKU's partition is the one that every Kafka client would choose."""

import string

from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from schemas.partitioner import murmur2, partition_of


@given(st.binary(max_size=80))
def test_murmur2_hashes_as_the_java_client_does(data):
    assert murmur2(data) == reference(data) & 0xFFFFFFFF


def test_known_values_of_the_java_client():
    # From Kafka's own UtilsTest.testMurmur2.
    assert [murmur2(b"21"), murmur2(b"foobar"), murmur2(b"a-little-bit-long-string")] == [
        -973932308 & 0xFFFFFFFF,
        -790332482 & 0xFFFFFFFF,
        -985981536 & 0xFFFFFFFF,
    ]


def test_skus_spread_over_all_partitions():
    assert {partition_of(letter, 4) for letter in string.ascii_letters} == {0, 1, 2, 3}
