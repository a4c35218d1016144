"""What keeps a demo alive is made of valid commands, and of two records that the ledger cannot read."""

import re

import pytest

from gateway.access.credential import OPEN
from gateway.compose import compose
from gateway.routes.table import ROUTES
from ops.demo.gentle import counts_of_a_feed, scenes, unread_records
from schemas.codec import Unreadable, decode_command, encode
from schemas.commands import tag_of
from schemas.partitioner import partition_of

NOW_MS = 1_764_000_000_000


def test_the_records_that_need_mending_are_unreadable_and_where_their_sku_belongs():
    for partition, key, value in unread_records(4):
        assert partition == partition_of(key.decode(), 4)
        with pytest.raises(Unreadable):
            decode_command(value)


def test_a_feed_is_known_in_every_partition():
    records = counts_of_a_feed(4, NOW_MS)
    assert [partition for partition, _, _ in records] == [0, 1, 2, 3]
    assert {decode_command(value).feed for _, _, value in records} == {"wms-hull"}


def test_every_request_is_a_command_that_its_route_takes():
    for method, path, body in scenes(NOW_MS):
        (route,) = [
            route
            for route in ROUTES
            if route.method == method and re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", route.path), path)
        ]
        in_path = {
            parameter.field: path.rpartition("/")[2] for parameter in route.parameters if parameter.where == "path"
        }
        compose(tag_of(route.body), encode(body), OPEN, key="k", in_path=in_path)
