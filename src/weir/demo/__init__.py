"""What the demonstration shows: a file server, and this project's documentation for it to serve."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SITE"]

SITE = Path(__file__).parent / "site"
"""Directory of the rendered documentation (tools/render_site.py writes it; it is part of the wheel)."""
