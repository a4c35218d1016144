"""The ledger: its rows, the decision core, due times, and the store in RocksDB."""
