"""What can go wrong before the proxy serves."""

from __future__ import annotations

__all__ = ["PlanRefused", "StartError"]


class StartError(Exception):
    """The worker cannot start; str() is the whole message for the person: what, where, and what to do."""


class PlanRefused(Exception):
    """There is no plan, because the configuration is wrong; str() has a problem on each line."""
