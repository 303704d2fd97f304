"""What can go wrong before the proxy serves."""

from __future__ import annotations

__all__ = ["StartError"]


class StartError(Exception):
    """The worker cannot start; str() is the whole message for the person: what, where, and what to do."""
