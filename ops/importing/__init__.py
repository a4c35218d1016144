"""Imports: files of orders into commands, and what became of them."""
