"""Owns what the tests of announced goods share: the commands, and what is read of their results."""

import msgspec

from tests.audit.ledger import T0

DAY = 24 * 60 * 60 * 1000
WEEK = 7 * DAY


def rules(log, channel="web", **fields):
    """Set a channel that sells goods of the next 30 days."""
    fields = {"presell_horizon_ms": 30 * DAY, "version": 1} | fields
    log.do("set_channel", sku=None, channel=channel, **fields)
    return log


def expect(log, name, quantity, days, warehouse="leeds", at=0, **fields):
    fields = {"inbound_id": name, "warehouse": warehouse, "quantity": quantity, "eta_at": T0 + days * DAY} | fields
    return log.do("expect_inbound", at, **fields)


def reserve(log, name, quantity, wait="inbound", at=0, **fields):
    fields = {"reservation_id": name, "quantity": quantity, "wait": wait, "channel": "web", "ttl_ms": 0} | fields
    return log.result("reserve", at, **fields)


def claims(result):
    """Return what a reservation waits for as (inbound, units, day)."""
    return [
        (claim["inbound_id"], claim["quantity"], day_of(claim["promised_at"]))
        for claim in result["reservation"].get("claims", [])
    ]


def day_of(time_ms):
    return None if time_ms is None else (time_ms - T0) // DAY


def held(result):
    return [(part["warehouse"], part["quantity"]) for part in result["reservation"]["allocations"]]


def steps(expected):
    """Return the steps of a record as (type, reservation, allocations, claims)."""
    return [
        (result["type"], result["reservation"]["reservation_id"], held(result), claims(result))
        for result in expected.results
        if result["command_id"] is None
    ]


def changes(expected):
    return [(change["warehouse"], change["delta"]) for change in expected.stock_changes]


def row(log, key):
    value = log.model.row(key)
    return None if value is None else msgspec.msgpack.decode(value)


def inbounds(log):
    """Return the announced goods of the book's row, by id: what remains, claims, what landed."""
    return {it[0]: (max(0, it[3] - it[4] - it[5]), it[6], it[7]) for it in row(log, b"SS\0")[7]}


def do(log, type_, at=0, **fields):
    """Do a command about po-1, and return its own result."""
    result = log.do(type_, at, **{"inbound_id": "po-1"} | fields).results[0]
    assert result["command_id"] is not None
    return result
