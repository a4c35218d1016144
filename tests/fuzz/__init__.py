"""Proof by a stranger: requests made from the gateway's own OpenAPI document, and from clients that mean no good."""
