"""The streams of server-sent events: one reader per topic feeds them all through a ring."""
