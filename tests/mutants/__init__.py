"""Mutants: each removes one rule from the source, and a test has to fail; `python -m tests.mutants`."""
