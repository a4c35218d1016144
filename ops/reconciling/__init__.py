"""Reconciliation of the ledger with the counts of a warehouse system: the feed's rows, what they found, the report."""
