"""Fixtures that all tests share."""

from hypothesis import HealthCheck, settings

# The machines that run this are shared: how long an example takes says nothing.
settings.register_profile("holdfast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("holdfast")
