"""The demo: a load, a fault, an audit, and a summary."""
