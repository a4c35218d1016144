"""Owns the one error of an audit."""


class CannotAudit(Exception):
    """The audit could not run: Kafka or a topic is missing, or a record is not laid out as documented."""
