"""The demo: a load, faults, an audit, and what a person reads of them."""
