"""Owns the availability of SKUs as it was written lately, JSON: nearly all requests ask for the same few SKUs."""

MOST_BYTES = 16 * 1024 * 1024
# A larger answer is not remembered: it would push out a hundred others.
_LARGEST_BYTES = 16 * 1024
# What the dictionaries take for an answer, about.
_OVERHEAD_BYTES = 400

EVERYBODY = None
"""The channel of an answer without a channel."""


class Remembered:
    """Answers by SKU and channel; when they take too much memory, all are forgotten.

    An answer to a channel holds only with the rules that it was made by. They have a number, which never comes again.

    Args:
        most_bytes: how much they may take.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._answers: dict[str, dict[str | None, tuple[int, bytes]]] = {}

    def __contains__(self, sku: str) -> bool:
        return sku in self._answers

    def find(self, sku: str, channel: str | None, rules: int) -> bytes | None:
        """Return an answer that still holds; None when there is none."""
        found = self._answers.get(sku)
        if found is None:
            return None
        number, answer = found.get(channel, (-1, b""))
        return answer if number == rules else None

    def keep(self, sku: str, channel: str | None, rules: int, answer: bytes) -> None:
        """Remember an answer, for as long as the SKU and the rules do not change."""
        if len(answer) > _LARGEST_BYTES:
            return
        size = len(answer) + _OVERHEAD_BYTES
        if self._bytes + size > self._most_bytes:
            self.forget_all()
        answers = self._answers.setdefault(sku, {})
        if channel in answers:
            size -= len(answers[channel][1]) + _OVERHEAD_BYTES
        answers[channel] = rules, answer
        self._bytes += size

    def forget(self, sku: str) -> None:
        """Forget the answers about a SKU, because it has changed."""
        for _, answer in self._answers.pop(sku, {}).values():
            self._bytes -= len(answer) + _OVERHEAD_BYTES

    def forget_all(self) -> None:
        """Forget everything."""
        self._answers.clear()
        self._bytes = 0
