"""Kinds of values that are networks."""

from __future__ import annotations

import ipaddress

from weir.config import units
from weir.config.errors import quoted, refuse
from weir.config.kinds import Kind, text_of
from weir.config.plan import NetworkPlan

__all__ = ["networks"]

UNIX = "unix"
MOST = 1000  # each is compared with each hop of a request
MAPPED_BITS = 96  # where IPv4 addresses stand among IPv6 ones


def networks() -> Kind:
    """An array of addresses and networks, and the word "unix", read as a tuple of NetworkPlan."""

    def read(value: object) -> tuple[NetworkPlan, ...]:
        if isinstance(value, str):
            refuse("wanted an array of networks, found a string", f"write [{quoted(value)}]")
        if not isinstance(value, list):
            refuse(f"wanted an array of networks, found {units.kind_of(value)}", 'for example ["10.0.0.0/8"]')
        if len(value) > MOST:
            refuse(f"{len(value)} networks are more than {MOST}", "take larger networks")
        found = tuple(_network(element) for element in value)
        for place, network in enumerate(found):
            if network in found[:place]:
                refuse(f"{quoted(network.text)} is there twice", "take one out")
        return found

    element = {"type": "string", "minLength": 2}
    schema = {"type": "array", "maxItems": MOST, "items": element, "uniqueItems": True}
    text = 'array of addresses and networks: `["10.0.0.0/8", "::1", "unix"]`'
    return Kind(read, text, schema, lambda found: [network.text for network in found])


def _network(value: object) -> NetworkPlan:
    text = text_of(value, "a network", "10.0.0.0/8")
    if text == UNIX:
        return NetworkPlan(UNIX)
    hint = f'for example "10.0.0.0/8", "2001:db8::/32", "192.0.2.1", or "{UNIX}"'
    if "%" in text:
        refuse(f"{quoted(text)}: zones of IPv6 addresses are not supported", hint)
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        refuse(f"{quoted(text)} is neither an address nor a network", hint)
    if "/" in text and not text.rpartition("/")[2].isdigit():
        refuse(f"{quoted(text)}: the size of a network is a number of bits", f"write {quoted(str(network))}")
    if network.network_address != ipaddress.ip_address(text.partition("/")[0]):
        # A slip, or an address with the size of its network: which of the two cannot be known.
        message = f"{quoted(text)}: bits are set behind the first {network.prefixlen}"
        refuse(message, f'write "{network}", or "{text.partition("/")[0]}" for the one address')
    if network.version == 4:
        packed = b"\0" * 10 + b"\xff\xff" + network.network_address.packed
        return NetworkPlan(text, packed, MAPPED_BITS + network.prefixlen, True)
    packed = network.network_address.packed
    is_ipv4 = network.prefixlen >= MAPPED_BITS and packed.startswith(b"\0" * 10 + b"\xff\xff")
    return NetworkPlan(text, packed, network.prefixlen, is_ipv4)
