"""Tests of the report: its text, its JSON and its page."""
