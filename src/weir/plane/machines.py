"""The state machines of the plane, as data. Made by tools/gen_tables.py from spec/states.toml; do not edit."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MACHINES", "STATE_PLACES", "Machine"]

STATE_PLACES = 8


class Machine(NamedTuple):
    """States in the order of their numbers, and the moves between them."""

    name: str
    first: str
    final: tuple[str, ...]
    states: tuple[str, ...]
    moves: tuple[tuple[str, str], ...]


MACHINES: tuple[Machine, ...] = (
    Machine(
        "downstream",
        "idle",
        ("closed",),
        ("idle", "head", "exchange", "closing", "linger", "closed", "preface"),
        (
            ("idle", "head"),
            ("idle", "exchange"),
            ("idle", "closing"),
            ("idle", "linger"),
            ("idle", "closed"),
            ("head", "idle"),
            ("head", "exchange"),
            ("head", "closing"),
            ("head", "linger"),
            ("head", "closed"),
            ("exchange", "idle"),
            ("exchange", "closed"),
            ("closing", "linger"),
            ("closing", "closed"),
            ("linger", "closed"),
            ("idle", "preface"),
            ("preface", "idle"),
            ("preface", "closed"),
        ),
    ),
    Machine(
        "exchange",
        "over",
        ("over",),
        ("over", "waiting", "sent", "body", "tunnel", "pause", "held"),
        (
            ("over", "waiting"),
            ("over", "held"),
            ("held", "waiting"),
            ("held", "body"),
            ("held", "over"),
            ("waiting", "sent"),
            ("waiting", "over"),
            ("sent", "waiting"),
            ("sent", "pause"),
            ("waiting", "pause"),
            ("pause", "waiting"),
            ("pause", "over"),
            ("sent", "body"),
            ("sent", "tunnel"),
            ("sent", "over"),
            ("body", "over"),
            ("tunnel", "over"),
        ),
    ),
    Machine(
        "upstream",
        "connecting",
        ("closed",),
        ("connecting", "idle", "surplus", "probe", "busy", "closed", "kept"),
        (
            ("connecting", "busy"),
            ("connecting", "idle"),
            ("connecting", "surplus"),
            ("connecting", "closed"),
            ("idle", "busy"),
            ("idle", "closed"),
            ("idle", "probe"),
            ("probe", "closed"),
            ("surplus", "busy"),
            ("surplus", "idle"),
            ("surplus", "closed"),
            ("busy", "busy"),
            ("busy", "idle"),
            ("busy", "surplus"),
            ("busy", "closed"),
            ("busy", "kept"),
            ("kept", "busy"),
            ("kept", "closed"),
        ),
    ),
    Machine(
        "hedge",
        "over",
        ("over",),
        ("over", "waiting", "sent"),
        (
            ("over", "waiting"),
            ("waiting", "sent"),
            ("waiting", "over"),
            ("sent", "over"),
        ),
    ),
    Machine(
        "mirror",
        "over",
        ("over",),
        ("over", "waiting", "sent"),
        (
            ("over", "waiting"),
            ("waiting", "sent"),
            ("waiting", "over"),
            ("sent", "over"),
        ),
    ),
    Machine(
        "breaker",
        "closed",
        ("closed", "open", "half_open"),
        ("closed", "open", "half_open"),
        (
            ("closed", "open"),
            ("open", "half_open"),
            ("half_open", "closed"),
            ("half_open", "open"),
        ),
    ),
)
