"""Tests of the audit: the model, the comparison, the reading and the report."""
