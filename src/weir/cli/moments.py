"""Moments, durations and spans of time as they are written on the command line."""

from __future__ import annotations

import re
import time

__all__ = ["clock_text", "parse_duration", "parse_interval", "parse_moment", "parse_since", "parse_span"]

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])", re.ASCII)
# Longer ago than anything that is kept, and far from what a clock cannot express.
MOST_S = 100 * 365 * 86400.0


def parse_duration(text: str) -> float:
    """Seconds of 90s, 15m, 1h30m, 2d, 500ms; ValueError for anything else."""
    pieces = DURATION.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        raise ValueError(f"{text!r} is no duration such as 90s, 15m, 1h30m or 2d")
    seconds = sum(float(number) * UNITS_S[unit] for number, unit in pieces)
    if not 0 < seconds <= MOST_S:
        raise ValueError(f"{text!r} is nothing, or too long")
    return seconds


def parse_moment(text: str, now: float | None = None) -> float:
    """Seconds since 1970 of `now`, a duration ago (15m or -15m), a time of the last 24 hours (21:30, 21:30:05), or an
    ISO 8601 date and time (2026-11-24T21:30, local unless it names its zone). ValueError for anything else.
    """
    now = time.time() if now is None else now
    if text == "now":
        return now
    if DURATION.match(text.removeprefix("-")) and not re.match(r"\d+[-:]", text):
        return now - parse_duration(text.removeprefix("-"))
    from datetime import datetime, timedelta

    today = datetime.fromtimestamp(now).astimezone()
    if match := re.fullmatch(r"(\d\d?):(\d\d)(?::(\d\d))?", text, re.ASCII):
        hour, minute, second = (int(number or 0) for number in match.groups())
        if hour > 23 or minute > 59 or second > 59:
            raise ValueError(f"{text!r} is no time of day")
        moment = today.replace(hour=hour, minute=minute, second=second, microsecond=0)
        return (moment if moment <= today else moment - timedelta(days=1)).timestamp()
    try:
        seconds = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{text!r} is no moment: give now, a duration ago (15m), a time (21:30) or a date and time"
            " (2026-11-24T21:30)"
        ) from None
    if not 0 <= seconds <= now + 1:
        raise ValueError(f"{text!r} is not in the past")
    return seconds


def parse_since(text: str) -> dict[str, str]:
    """What GetStats is asked with: `window` for a duration, which no other clock takes part in, `since` for a moment.

    ValueError for what is neither.
    """
    try:
        return {"window": f"{parse_duration(text.removeprefix('-')):.3f}s"}
    except ValueError:
        from weir.cli.answers import moment_text

        return {"since": moment_text(parse_moment(text))}


def parse_interval(text: str) -> float:
    """Seconds between two answers, as a duration or a number of seconds; 0.2 s to 1 h. ValueError for anything else."""
    seconds = parse_duration(text + "s" if text.replace(".", "", 1).isdigit() else text)
    if not 0.2 <= seconds <= 3600:
        raise ValueError(f"{text!r} is not 0.2s to 1h")
    return seconds


def parse_span(text: str, now: float | None = None) -> tuple[float, float | None]:
    """Two moments FROM..TO, as in -2h..-1h or 20:00..21:00; without TO, or up to `now`, the second is None.

    ValueError for anything else.
    """
    now = time.time() if now is None else now
    first, dots, last = text.partition("..")
    if not dots:
        raise ValueError(f"{text!r} is no span of time such as -2h..-1h")
    start = parse_moment(first, now)
    end = None if last in ("", "now") else parse_moment(last, now)
    if start >= (now if end is None else end):
        raise ValueError(f"{text!r} ends before it begins")
    return start, end


def clock_text(seconds: float) -> str:
    """A moment in local time: the time alone if it is of the last day, else with its date."""
    shape = "%H:%M:%S" if 0 <= time.time() - seconds < 86400 else "%Y-%m-%d %H:%M:%S"
    return time.strftime(shape, time.localtime(seconds))
