"""Settings of all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Machines that run other things as well are slow at times: that is no finding.
settings.register_profile("weir", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("weir")
