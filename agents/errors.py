"""Owns the errors of transactions; after any of them only RECOVER goes on."""


class TransactionError(Exception):
    """The transaction did not go through, or may not have; nothing but RECOVER settles which."""


class FencedError(TransactionError):
    """A younger owner of the transactional id has taken over."""


class TooLargeError(TransactionError):
    """A record batch is larger than its topic allows."""


class UnknownOutcomeError(TransactionError):
    """EndTxn got no clear answer: the transaction may be committed or aborted."""


class HangingError(TransactionError):
    """A transaction hangs: nobody knows any more whether it was committed, or we have no right to settle it."""
