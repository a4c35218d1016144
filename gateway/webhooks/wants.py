"""Owns the filter of an endpoint: its types, SKUs, warehouses and channels."""

import msgspec
from aiokafka import ConsumerRecord

from gateway.rules import ReferenceView
from gateway.streams.events import Event, change_event, result_event
from gateway.webhooks.endpoints import Endpoint
from gateway.webhooks.requests import TYPE_OF
from schemas.topics import RESULTS

_is_json = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Wants:
    """Tells whether an endpoint wants a record.

    Args:
        rules: the policies; None when no endpoint has channels with stock changes.
    """

    def __init__(self, rules: ReferenceView | None = None) -> None:
        self._rules = rules

    def __call__(self, endpoint: Endpoint, record: ConsumerRecord) -> bool:
        """Return whether an endpoint wants a record; what no worker wrote, nobody wants."""
        if TYPE_OF[record.topic] not in endpoint.types:
            return False
        event = (result_event if record.topic == RESULTS else change_event)(-1, record.partition, record)
        if event is None or (endpoint.skus is not None and event.sku not in endpoint.skus):
            return False
        try:
            _is_json(record.value)
            record.value.decode()  # the JSON's strings are not looked at
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        if record.topic == RESULTS:
            return endpoint.channels is None or event.of in endpoint.channels
        return event.of == "" or self._is_of_warehouse(endpoint, event)

    def _is_of_warehouse(self, endpoint: Endpoint, event: Event) -> bool:
        """Return whether a change of a stock row passes; one of a SKU's book passes always."""
        if endpoint.warehouses is not None and event.of not in endpoint.warehouses:
            return False
        if endpoint.channels is None or self._rules is None:
            return True
        policies = (self._rules.of[event.partition].policy(channel, event.sku) for channel in endpoint.channels)
        return any(it.enabled and (it.warehouses is None or event.of in it.warehouses) for it in policies)


def needs_rules(endpoint: Endpoint) -> bool:
    """Return whether an endpoint's filter needs the policies."""
    return endpoint.channels is not None and "stock-change" in endpoint.types
