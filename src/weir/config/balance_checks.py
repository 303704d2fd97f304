"""What contradicts itself in how requests are spread over endpoints; the rest is `weir.config.contradictions`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from weir.config.address import is_literal
from weir.config.errors import quoted
from weir.config.findings import Finding
from weir.config.kinds import OFF
from weir.config.plan import AddressPlan, EndpointPlan
from weir.config.positions import Loc

__all__ = ["balancing", "zones"]

Raw = Mapping[str, Any]
# The endpoints of a cluster that can be read, by their places.
Members = list[tuple[int, AddressPlan]]


def balancing(loc: Loc, cluster: Raw, members: Members) -> Iterator[Finding]:
    """All that contradicts itself in one [[cluster]]."""
    listed = cluster.get("endpoints")
    complete = isinstance(listed, list) and len(listed) == len(members) > 0
    yield from _hash(loc, cluster)
    yield from _applications(loc, cluster, members)
    if complete:
        yield from _weights(loc, cluster, [member for _, member in members])
    yield from _sticky((*loc, "sticky"), cluster)


def _applications(loc: Loc, cluster: Raw, members: Members) -> Iterator[Finding]:
    own = next((member for _, member in members if member.app is not None), None)
    if own is not None and cluster.get("proxy_protocol", OFF) != OFF:
        message = f"{quoted(own.text)} does not know the PROXY protocol, and is told who the client is"
        yield Finding((*loc, "proxy_protocol"), "value", message, "take it out")


def _hash(loc: Loc, cluster: Raw) -> Iterator[Finding]:
    policy = cluster.get("policy", "round_robin")
    if policy == "hash" and "hash_by" not in cluster:
        message = "it does not say by what requests are hashed"
        yield Finding((*loc, "policy"), "value", message, 'add hash_by = "client", or "cookie:NAME", "field:NAME"')
    for key in ("hash_by", "hash_balance"):
        if key in cluster and policy != "hash":
            message = f"without effect: policy is {quoted(str(policy))}"
            yield Finding((*loc, key), "key", message, 'write policy = "hash", or take it out')


def _weights(loc: Loc, cluster: Raw, members: list[AddressPlan]) -> Iterator[Finding]:
    told = [member for member in members if isinstance(member, EndpointPlan)]
    if len(told) == len(members) and not any(member.weight for member in told):
        message = "every weight is 0: no request goes anywhere"
        yield Finding((*loc, "endpoints"), "value", message, "give one of them a weight of 1 or more")
    if "overflow_at" in cluster and not any(member.priority or member.zone for member in told):
        message = "without effect: all endpoints have the same priority and zone"
        yield Finding((*loc, "overflow_at"), "key", message, "take it out")
    # What a name stands for may become several.
    if len(members) == 1 and is_literal(members[0]):
        if cluster.get("slow_start", OFF) != OFF:
            yield Finding((*loc, "slow_start"), "key", "without effect: there is one endpoint", "take it out")
        sticky = cluster.get("sticky")
        if isinstance(sticky, dict) and sticky.get("cookie", OFF) != OFF:
            message = "without effect: there is one endpoint"
            yield Finding((*loc, "sticky", "cookie"), "key", message, "take [cluster.sticky] out")


def _sticky(loc: Loc, cluster: Raw) -> Iterator[Finding]:
    sticky = cluster.get("sticky")
    if not isinstance(sticky, dict):
        return
    if sticky.get("cookie", OFF) == OFF:
        for key in sticky:
            if key != "cookie":
                yield Finding((*loc, key), "key", "without effect: there is no cookie", 'add cookie = "WEIRID"')
    elif sticky.get("same_site") == "none" and sticky.get("secure", False) is False:
        message = 'browsers refuse a cookie with "none" that is not secure'
        yield Finding((*loc, "same_site"), "value", message, "add secure = true")


def zones(raw: Raw, clusters: list[tuple[Loc, Members]]) -> Iterator[Finding]:
    """Zones of endpoints and of weir that do not go together."""
    own = raw.get("zone", "")
    there = [
        ((*loc, "endpoints", place, "zone"), member.zone)
        for loc, members in clusters
        for place, member in members
        if isinstance(member, EndpointPlan) and member.zone
    ]
    if own in ("", OFF):
        for loc, zone in there[:1]:
            message = f"without effect: it is not said in which zone weir is ({quoted(zone)} is the endpoint's)"
            yield Finding(loc, "key", message, f"add zone = {quoted(zone)} at the top of the file")
    elif isinstance(own, str) and own not in {zone for _, zone in there}:
        yield Finding(("zone",), "value", f"no endpoint is in the zone {quoted(own)}", "take it out, or correct it")
