"""The part of the plan that says what routes do with requests beside sending them on; see `weir.config.plan`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HOP_FIELDS", "REQUEST_FIELDS", "ActionPlan", "Phrase"]

# What only weir writes: the framing, what ends at this hop, and, of requests, who the client is. In lower case.
HOP_FIELDS = (
    *("connection", "keep-alive", "proxy-connection", "transfer-encoding", "content-length", "te", "trailer"),
    *("upgrade", "via"),
)
REQUEST_FIELDS = (
    *("host", "expect", "http2-settings", "forwarded"),
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
)

# A text with variables, in pieces: ("text", "..."), a variable such as ("client", ""), ("field", "X-A"),
# ("cookie", "a"), or ("segment", n): the n-th segment of the path, from 0.
Phrase = tuple[tuple[str, str | int], ...]


@dataclass(frozen=True)
class ActionPlan:
    """What a route does with requests, and with their responses, beside sending them on."""

    strip_segments: int = 0  # of the path, taken out at its beginning
    add_prefix: str = ""  # put before what is left; "": nothing
    rewrite: Phrase = ()  # texts and segments, in place of add_prefix; (): the path goes on
    rewrite_rest: bool = False  # what follows strip_segments goes on behind it
    host: str = ""  # told in Host; "": as the cluster says
    request_drops: tuple[str, ...] = ()  # fields that are left out
    request_lines: tuple[tuple[str, Phrase], ...] = ()  # fields that are added
    response_drops: tuple[str, ...] = ()
    response_lines: tuple[tuple[str, Phrase], ...] = ()
    status: int = 0  # of its own answer; 0: it gives none
    location: Phrase = ()  # of a redirect
    content_type: str = ""  # "": not said
    body: Phrase = ()
    mirror: int = -1  # index into Plan.clusters; -1: nothing is mirrored
    mirror_percent: int = 100
    mirror_max: int = 100  # in progress at a time, per worker
