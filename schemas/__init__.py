"""The wire contract: what travels over Kafka and HTTP, and nothing else.

Everything here is described by the Avro schemas in `schemas/avro/`, mirrored by msgspec types, and may be imported by
every other package; this package imports none of them.
"""
