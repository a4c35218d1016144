"""Owns the error codes of answers, and names for those that aiokafka lacks."""

from aiokafka import errors
from aiokafka.errors import for_code

OK: int = errors.NoError.errno
CONCURRENT_TRANSACTIONS: int = errors.ConcurrentTransactions.errno
PRODUCER_FENCED = 90
TRANSACTIONAL_ID_NOT_FOUND = 105

# Ask again, perhaps elsewhere.
COORDINATOR_ERRORS = frozenset(
    {
        errors.CoordinatorLoadInProgressError.errno,
        errors.CoordinatorNotAvailableError.errno,
        errors.NotCoordinatorError.errno,
    }
)
FENCED = frozenset({errors.InvalidProducerEpoch.errno, PRODUCER_FENCED})
TOO_LARGE = frozenset({errors.MessageSizeTooLargeError.errno, errors.RecordListTooLargeError.errno})
NO_RIGHTS = frozenset(
    {
        errors.TopicAuthorizationFailedError.errno,
        errors.ClusterAuthorizationFailedError.errno,
        errors.TransactionalIdAuthorizationFailed.errno,
    }
)


def describe(code: int) -> str:
    """Return the name of an error and its number."""
    return f"{for_code(code).__name__} ({code})"
