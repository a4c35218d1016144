"""The report of an audit, for people and for programs."""
