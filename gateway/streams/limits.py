"""Owns the limits of streams that the routes declare."""

MOST_STREAMED = 100
