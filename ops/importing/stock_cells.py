"""Owns how the cells of a file of counts are read: the columns by name, SKUs and quantities. Pure."""

from collections.abc import Sequence

from ops.importing.order_lines import MissingColumn, Unusable, is_sku
from ops.problems import CannotDo
from schemas.fields import MAX_QUANTITY

_FIRST_SURROGATE, _LAST_SURROGATE = "\ud800", "\udfff"


class Header:
    """The first line of a file: which column has which name, in capitals or not; spaces around a name are ignored.

    Args:
        names: the names, in the order of the columns.

    Raises:
        CannotDo: two columns of the file have the same name.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        plain = [_plain(name) for name in names]
        doubled = sorted({name for name in plain if name and plain.count(name) > 1})
        if doubled:
            raise CannotDo(f"the file has more than one column named {', '.join(doubled)}; rename all but one.")
        self._places = {name: index for index, name in enumerate(plain)}

    def find(self, name: str) -> int | None:
        """Return the index of a column; None when the file has none of that name."""
        return self._places.get(_plain(name))

    def index(self, role: str, name: str) -> int:
        """Return the index of a column that has to be there.

        Raises:
            MissingColumn: the file has none of that name.
        """
        place = self.find(name)
        if place is None:
            raise MissingColumn(name, self.names, role)
        return place

    def check_width(self, row: Sequence[str]) -> None:
        """Check that a row has as many fields as the header.

        Raises:
            Unusable: it has not.
        """
        if len(row) != len(self.names):
            raise Unusable(f"it has {len(row)} fields, not {len(self.names)}")


def _plain(name: str) -> str:
    return name.strip().casefold()


def check_sku(sku: str) -> None:
    """Check that a cell is a SKU.

    Raises:
        Unusable: it is not.
    """
    if any(_FIRST_SURROGATE <= character <= _LAST_SURROGATE for character in sku):
        shown = sku.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        raise Unusable(
            f"sku {shown!r} holds bytes that are not UTF-8; name the file's encoding, such as `--encoding latin-1`"
        )
    if not is_sku(sku):
        raise Unusable(f"sku {sku!r} is not 1 to 64 characters without control characters")


def units_in(column: str, text: str) -> int:
    """Return the quantity in a cell.

    Raises:
        Unusable: it is no quantity that a count may have.
    """
    # Python would also accept `1_000` and digits of other scripts, which may mean something else.
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        raise Unusable(f"{column} {text[:40]!r} is no whole number")
    if text.startswith("-") and text.strip("-0"):
        raise Unusable(f"{column} {text[:40]} is below 0; a count cannot be")
    digits = text.lstrip("-0") or "0"
    if len(digits) > len(str(MAX_QUANTITY)) or int(digits) > MAX_QUANTITY:
        raise Unusable(f"{column} {text[:40]} is more than {MAX_QUANTITY:,}")
    return int(digits)
