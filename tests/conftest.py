"""Settings of all tests."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# Machines that run other things as well are slow at times: that is no finding.
settings.register_profile("weir", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("weir")

# A shell lets what it runs in the background ignore this, which whoever is started from here would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How many times as long tests may take, in a build that takes its time (make sanitize).
PATIENCE = float(os.environ.get("WEIR_PATIENCE", "1"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if PATIENCE == 1:
        return
    for item in items:
        bound = item.get_closest_marker("timeout")
        seconds = bound.args[0] if bound is not None else float(item.config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(seconds * PATIENCE), append=False)
