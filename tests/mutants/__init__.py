"""Mutants: each takes one rule out of the source, and a few tests have to notice; `python -m tests.mutants`."""
