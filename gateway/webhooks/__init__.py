"""Webhooks: stock changes and unsolicited results, sent to the endpoints of a file."""
