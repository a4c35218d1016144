"""Owns which node leads which partition, and how that changes while all connections stay up."""

from collections.abc import Callable, Iterable

NODES = (1, 2)
NOBODY = -1

Place = tuple[str, int]


class Leaders:
    """The leaders of all partitions. Each moves once at most.

    A partition that loses its leader for a moment and gets the same one back looks as if nothing had happened, and
    with KAFKA-20734 one transaction may then be written behind another that hangs: that needs an operator
    (`docs/runbook.md`, HangingError), so it is none of the simulated faults.

    Args:
        later: does something later.
    """

    def __init__(self, later: Callable[..., None]) -> None:
        self._later = later
        self._leaders: dict[Place, int] = {}
        self._moved: set[Place] = set()

    def add(self, place: Place, leader: int) -> None:
        """Return a new partition its leader."""
        self._leaders[place] = leader

    def of(self, place: Place) -> int:
        """Return the leader, `NOBODY` when there is none at the moment, or no such partition."""
        return self._leaders.get(place, NOBODY)

    def all(self) -> dict[Place, int]:
        """Return all of them, as a client learns them."""
        return dict(self._leaders)

    def not_led(self, node: int, places: Iterable[Place]) -> set[Place]:
        """Return those of some partitions that a node does not lead."""
        return {place for place in places if self.of(place) != node}

    def move(self, place: Place, gap_s: float, told: Callable[[], None]) -> bool:
        """Have another node lead a partition, after a gap without any; false when it has moved before.

        Args:
            place: the partition.
            gap_s: how long nobody leads it.
            told: is called when the old leader knows.
        """
        if place in self._moved:
            return False
        self._moved.add(place)
        other = next(node for node in NODES if node != self._leaders[place])
        self._leaders[place] = NOBODY
        told()
        self._later(gap_s, self._leaders.__setitem__, place, other)
        return True
