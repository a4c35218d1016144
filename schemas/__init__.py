"""The wire contract: what travels over Kafka and HTTP, and nothing else.

The Avro schemas in `schemas/avro/` describe it, and msgspec types here mirror them. Every other package may import this
one; it imports none of them.
"""
