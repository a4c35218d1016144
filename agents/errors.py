"""Owns the errors of transactions; after any of them RECOVER has to follow."""


class TransactionError(Exception):
    """The transaction failed, or may have failed; only RECOVER finds out."""


class FencedError(TransactionError):
    """A later owner of the transactional id has taken over."""


class TooLargeError(TransactionError):
    """A record batch is larger than its topic allows."""


class UnknownOutcomeError(TransactionError):
    """EndTxn got no clear answer: the transaction may be committed or aborted."""


class HangingError(TransactionError):
    """A transaction hangs, and nobody knows whether it was committed, or we lack the rights to settle it."""
