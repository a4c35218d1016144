"""Tests of the audit's model: the rules of reference data, policies and placing, each worked out by hand."""
