"""The decision core: pure functions that make a decision from a command and rows. No I/O, no clock, no randomness."""
