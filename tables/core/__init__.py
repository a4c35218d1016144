"""The decision core: pure rules from a command and the rows it concerns to a decision. No I/O, no clock, no chance."""
