"""Imports: they make commands from files and report the results."""
