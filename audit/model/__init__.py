"""The oracle: what every record of the log must bring about, from the contract alone."""
