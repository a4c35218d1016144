"""Owns the one error of an audit."""


class CannotAudit(Exception):
    """The audit could not be done: Kafka or a topic is missing, or what was read cannot be understood."""
