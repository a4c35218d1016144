"""Tests of the comparison: every kind of difference is found and named."""
