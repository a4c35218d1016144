"""The oracle: what must be published for every record of the log, from the contract alone."""
