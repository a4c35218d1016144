"""Owns what must be true of what a ledger publishes, decision by decision, by section 18 of the domain's contract."""

from collections import Counter

from tables.core.rows import full

QUANTITIES = ("on_hand", "reserved", "damaged", "safety_stock", "inbound", "quarantine")
PHYSICAL = ("on_hand", "damaged", "quarantine")
_NO_BOOK = {"backordered": 0, "promised": 0, "inbounds": [], "channels": []}
_PLACES = {"reserve", "amend", "reallocate", "fill", "transfer"}  # what gives units to reservations or takes them away
_STEPS = {"fill", "promise"}


class Reader:
    """One who reads all that is published, and knows no more: rows, books and reservations of each SKU."""

    def __init__(self):
        self.rows, self.books, self.holds, self.seqs = {}, {}, {}, Counter()
        self.pending = set()
        self.counted = {}  # when each row was last counted (ms)
        self.movements = {}  # of each row: since when (ms) they count, and the units of each bucket

    def read(self, document, results, changes, before, after):
        """Read and check what a record published.

        Args:
            document: the command; empty where it was none.
            results: in their order.
            changes: the stock changes, in their order.
            before: the rows before the record.
            after: the rows after it.
        """
        self.pending = {sku for sku in before.books if before.is_pending(sku)}
        self.after, changes, steps = after, [*changes], []
        for result in results:
            own = []
            while (
                changes
                and _is_word(changes[0])
                and (changes[0]["sku"] != result["sku"] or changes[0]["seq"] <= result["seq"])
            ):
                self._apply(changes.pop(0))
            while changes and self._is_of(changes[0], result):
                own.append(changes.pop(0))
            self._check_decision(document, result, own)
            if result["type"] in _STEPS and result["command_id"] is None:
                steps.append(
                    1 + len(result["reservation"]["allocations"]) + len(result["reservation"].get("claims", []))
                )
        while changes and _is_word(changes[0]):
            self._apply(changes.pop(0))
        assert not changes, ("a change without a result", changes[0])
        self._check_against(after)
        return steps

    @staticmethod
    def _is_of(change, result):
        if result["status"] != "accepted" or result["replayed"] or change["sku"] != result["sku"]:
            return False
        cause = change["cause"]
        hold = (result["reservation"] or {}).get("reservation_id")
        same = (cause["type"], cause.get("command_id")) == (result["type"], result["command_id"])
        return same and cause.get("reservation_id") == hold and change["seq"] <= result["seq"]

    def _apply(self, change):
        sku, warehouse = change["sku"], change["warehouse"]
        self.seqs[sku] += 1
        assert change["seq"] == self.seqs[sku], ("a gap", change)
        if not warehouse:
            before = self.books.get(sku, _NO_BOOK)
            assert before != change["book"], ("nothing changed", change)
            names = ("backordered", "promised")
            delta = {
                name: change["book"][name] - before[name] for name in names if change["book"][name] != before[name]
            }
            assert change["delta"] == delta, change
            self.books[sku] = change["book"]
            return
        before, now = self.rows.get((sku, warehouse), {}), change["after"]
        moved = {name: now.get(name, 0) - before.get(name, 0) for name in QUANTITIES}
        assert list(change["delta"].items()) == [(name, by) for name, by in moved.items() if by], change
        assert now["available"] == now["on_hand"] - now["reserved"] - now["safety_stock"], change
        assert change["shortfall"] == (now["reserved"] > now["on_hand"]), change
        self.rows[sku, warehouse] = now

    def _check_decision(self, document, result, changes):
        sku, type_ = result["sku"], result["type"]
        is_step = result["command_id"] is None and type_ in _STEPS
        owed = 0 if is_step or sku not in self.pending else self._due(sku)
        before, units, is_new = self.books.get(sku, _NO_BOOK), self._units(sku), not result["replayed"]
        is_done = type_ != "query" and result["status"] == "accepted" and is_new
        wanted = self._moved(document, result, before) if is_done else 0
        if "reconciliation" in result and not result["replayed"]:
            self._check_count(result)
        reference = changes[-1]["cause"].get("reference") if changes else None
        if is_step:
            self._check_rank(result, reference)
        for change in changes:
            if type_ in _PLACES and change["warehouse"] and not (is_step and reference):
                self._check_taken(change, owed)
            if change["warehouse"] == "" and type_ in {"reserve", "amend", "promise"} and not (is_step and reference):
                _check_claimed(before, change["book"], owed)
            self._apply(change)
            self._note_movement(change, result)
        if is_done:
            touched = [{"warehouse": it["warehouse"]} | it["after"] for it in changes if it["warehouse"]]
            assert result["stock"] == touched or type_ == "adjust", result
            assert result["seq"] == self.seqs[sku] or not sku, result
            self._note(result)
            assert self._units(sku) - units == wanted, ("units came from nowhere, or went", result)
        else:
            assert not changes, ("it changes nothing", result)
        if type_ == "expire" and changes and self._due(sku):
            self.pending.add(sku)

    def _due(self, sku):
        book = self.books.get(sku, _NO_BOOK)
        return book["backordered"] + book["promised"]

    def _note_movement(self, change, result):
        """Note what came and went; what a count found counts since the time of the count."""
        at = result["reconciliation"]["as_of_at"] if result["type"] == "reconcile" else change["at"]
        moved = {name: change["delta"].get(name, 0) for name in PHYSICAL}
        self.movements.setdefault((change["sku"], change["warehouse"]), []).append((at, moved))

    def _check_count(self, result):
        """Check that a count was compared with all movements up to its time, drifts included (section 11)."""
        found = result["reconciliation"]
        place = result["sku"], found["warehouse"]
        moved, last = self.movements.get(place, []), self.counted.get(place)
        assert found["since"] == last, result
        if result["status"] == "accepted":
            assert last is None or found["as_of_at"] > last, ("an older count", result)
            self.counted[place] = found["as_of_at"]
        for name, units in found["ledger"].items():
            assert units == sum(by[name] for at, by in moved if at <= found["as_of_at"]), (name, result)
            assert found["drift"][name] == found["counted"][name] - units, (name, result)

    def _check_taken(self, change, owed):
        """Check that no more is taken from a row than was free (5)."""
        before, delta = self.rows.get((change["sku"], change["warehouse"]), Counter()), change["delta"]
        if change["cause"]["type"] == "transfer":
            assert delta.get("on_hand", 0) >= 0 or -delta["on_hand"] <= before["on_hand"] - before["reserved"] - owed, (
                "it was promised", change,
            )  # fmt: skip
        elif delta.get("reserved", 0) > 0:
            free = before["on_hand"] - before["reserved"] - before["safety_stock"] - owed
            assert delta["reserved"] <= free, ("it was not free", change, owed)
            assert change["after"]["available"] >= 0, change

    def _check_rank(self, result, reference):
        """Check that nobody of a class is given anything while a better one waits, but for what lands or is cut (7)."""
        shown, sku = result["reservation"], result["sku"]
        rank, of = self._place(sku, shown["reservation_id"])
        dates = {
            it["inbound_id"]: it["promised_at"] for it in self.holds[sku, shown["reservation_id"]].get("claims", [])
        }
        told = {it["inbound_id"]: it["promised_at"] for it in shown.get("claims", [])}
        is_told = result["type"] == "promise" and dates.keys() == told.keys() and dates != told
        if reference or is_told:
            self._check_claimants(result, reference, {name: at for name, at in told.items() if dates.get(name) != at})
            return
        for (other_sku, name), other in self.holds.items():
            claims = other.get("claims", [])
            if result["type"] == "promise":
                claims = [it for it in claims if it["inbound_id"] is None]
            if other_sku == sku and claims:
                others, its = self._place(sku, name)
                assert its != of or others >= rank, (name, "waits longer", result)

    def _check_claimants(self, result, reference, told):
        """Check that goods land for the best rank and are taken from the worst, and that the best is told first (6)."""
        sku, name = result["sku"], result["reservation"]["reservation_id"]
        claimants = [
            self._place(sku, other)[0]
            for (of, other), shown in self.holds.items()
            for it in shown.get("claims", [])
            if of == sku and (it["inbound_id"] == reference if reference else self._is_untold(sku, it, told))
        ]
        wanted = max(claimants) if reference and result["type"] == "promise" else min(claimants)
        assert self._place(sku, name)[0] == wanted, result

    def _is_untold(self, sku, claim, told):
        """Return whether a claim's date is not that of its goods, and these are the ones that a step told of."""
        dates = {it["inbound_id"]: it["eta_at"] for it in self.books[sku]["inbounds"]}
        inbound_id = claim["inbound_id"]
        return inbound_id in told and told[inbound_id] == dates.get(inbound_id) != claim["promised_at"]

    def _place(self, sku, name):
        row = full(self.after.holds[sku, name])
        return (row.priority, row.placed), (row.channel, row.only)

    def _note(self, result):
        shown = result["reservation"]
        if shown is not None:
            self.holds[result["sku"], shown["reservation_id"]] = shown

    def _units(self, sku):
        """Return the units of a SKU that are in buildings or between them."""
        there = sum(row.get(name, 0) for (of, _), row in self.rows.items() if of == sku for name in PHYSICAL)
        inbounds = self.books.get(sku, _NO_BOOK)["inbounds"]
        return there + sum(it["remaining"] for it in inbounds if it.get("from") is not None)

    def _moved(self, document, result, book):
        """Return by how many units a decision may change what is in buildings or between them (9)."""
        inbound = result.get("inbound") or {"from": None, "inbound_id": None}
        known = next((it for it in book["inbounds"] if it["inbound_id"] == inbound["inbound_id"]), {"remaining": 0})
        less = inbound["remaining"] - known["remaining"] if inbound["from"] is not None else 0
        match result["type"]:
            case "adjust" if document.get("bucket") != "safety_stock":
                row = self.rows.get((result["sku"], document["warehouse"]), {})
                had = row.get(document.get("bucket", "on_hand"), 0)
                return document["delta"] if "delta" in document else document["count"] - had
            case "commit":
                shown = result["reservation"]
                return self.holds[result["sku"], shown["reservation_id"]]["committed"] - shown["committed"]
            case "return":
                return document["quantity"]
            case "reconcile":
                return sum(result["reconciliation"]["drift"].values())
            case "receive_inbound":
                return document["quantity"] + document.get("damaged", 0) + less
            case "amend_inbound" | "cancel_inbound":
                return less
        return 0

    def _check_against(self, after):
        """Check that what is published says what the rows say."""
        rows = {
            key: {
                name: getattr(row, name, 0)
                for name in (*QUANTITIES, "available")
                if getattr(row, name, 0) or name != "quarantine"
            }
            for key, row in after.rows.items()
        }
        assert self.rows == rows
        for sku, book in after.books.items():
            shown = self.books.get(sku, _NO_BOOK)
            assert (shown["backordered"], shown["promised"]) == (book.backordered, book.promised), (shown, book)
            assert shown.get("settling", False) == book.settling, (shown, book)
            inbounds = [
                (it.inbound_id, it.warehouse, it.eta_at, it.remaining, it.claimed, it.from_) for it in book.inbounds
            ]
            said = [(it["inbound_id"], it["warehouse"], it["eta_at"], it["remaining"], it["claimed"], it.get("from"))
                    for it in shown["inbounds"]]  # fmt: skip
            assert said == inbounds, (shown, book)
            assert [tuple(it.values()) for it in shown["channels"]] == [*book.channels], (shown, book)
        for key, stored in after.holds.items():
            shown, row = self.holds[key], full(stored)
            for name in ("state", "quantity", "committed", "released", "channel", "expires_at"):
                assert shown[name] == getattr(row, name), (shown, row)
            assert [tuple(it.values()) for it in shown["allocations"]] == [*row.allocations], (shown, row)
            assert [tuple(it.values()) for it in shown.get("claims", [])] == [*row.claims], (shown, row)
            assert shown.get("returned", 0) == row.returned, (shown, row)
            assert shown.get("waiting", 0) == row.waiting, (shown, row)


def _is_word(change):
    """Return whether a change only says that a SKU settles, or does no more."""
    return change["cause"] == {"type": "settle"}


def _check_claimed(before, after, owed):
    """Check that no more is claimed of announced goods than was free (5)."""
    known = {it["inbound_id"]: it for it in before["inbounds"]}
    for it in after["inbounds"]:
        had = known.get(it["inbound_id"])
        more = it["claimed"] - (had["claimed"] if had else 0)
        assert more <= 0 or more <= it["remaining"] - had["claimed"] - owed, ("it was not free", it, owed)
