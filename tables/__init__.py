"""The ledger: rows, the decision core, the RocksDB store, the changelog and its recovery."""
