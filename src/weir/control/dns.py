"""What a name stands for in the DNS: addresses and SRV records, with how long that holds.

By dnspython, which is imported when the first name is looked up: most configurations have none. The system's own
resolver (getaddrinfo), which `weir.control.resolve` asks, tells neither TTL nor SRV.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from weir.config.plan import AddressPlan

__all__ = ["Dns", "DnsError", "Found", "Target"]

# A look-up with all its retries.
LIFETIME_S: Final = 5.0
# Endpoints that one name may stand for; the rest is left out.
MOST_TARGETS: Final = 256
# Weights of SRV records go to 65535, those of endpoints to 1000.
MOST_WEIGHT: Final = 1000


class DnsError(Exception):
    """Nothing was found; the text says why."""


class Target(NamedTuple):
    """One address. `priority` counts from 0, the best; `weight` is 1 to 1000, 0 if nothing was said of it."""

    host: str
    port: int
    priority: int = 0
    weight: int = 0

    @property
    def text(self) -> str:
        """As an endpoint is written in the configuration."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Found(NamedTuple):
    """What a name stands for, for so long. Sorted, so that two equal answers are equal."""

    targets: tuple[Target, ...]
    ttl_s: float


class Dns:
    """Asks some name servers, or those of the system if there are none."""

    def __init__(self, nameservers: Sequence[AddressPlan] = ()) -> None:
        self._nameservers = nameservers
        self._resolver: Any = None

    @staticmethod
    def load() -> None:
        """Imports what a look-up needs. It takes a tenth of a second, which is not to be one of serving."""
        import dns.asyncresolver
        import dns.nameserver  # noqa: F401

    async def look_up(self, address: AddressPlan) -> Found:
        """The addresses of a host, or of all hosts that SRV records name. DnsError if there are none."""
        if not address.srv:
            hosts, ttl_s = await self._addresses(address.host or "")
            return found([Target(host, address.port) for host in hosts], ttl_s)
        records, ttl_s = await self._ask(address.host or "", "SRV")
        # "." as target: the service is decidedly not there (RFC 2782).
        named = [record for record in records if record.target.to_text() != "."][:MOST_TARGETS]
        if not named:
            raise DnsError("no SRV record names a host")
        answers = await asyncio.gather(
            *(self._addresses(record.target.to_text(omit_final_dot=True)) for record in named), return_exceptions=True
        )
        ranks = {priority: rank for rank, priority in enumerate(sorted({record.priority for record in named}))}
        most = max(record.weight for record in named)
        targets, reasons = [], []
        for record, answer in zip(named, answers, strict=True):
            if isinstance(answer, DnsError):
                reasons.append(str(answer))
                continue
            if isinstance(answer, BaseException):
                raise answer
            ttl_s = min(ttl_s, answer[1])
            weight = max(record.weight * MOST_WEIGHT // max(most, MOST_WEIGHT), 1)
            targets += [Target(host, record.port, ranks[record.priority], weight) for host in answer[0]]
        if not targets:
            raise DnsError(reasons[0])
        return found(targets, ttl_s)

    async def _addresses(self, name: str) -> tuple[list[str], float]:
        """IPv4 and IPv6; one of them will do."""
        answers = await asyncio.gather(self._ask(name, "A"), self._ask(name, "AAAA"), return_exceptions=True)
        hosts: list[str] = []
        ttls = []
        for answer in answers:
            if not isinstance(answer, BaseException):
                hosts += [record.address for record in answer[0]]
                ttls.append(answer[1])
            elif not isinstance(answer, DnsError):
                raise answer
        if not hosts:
            raise next(answer for answer in answers if isinstance(answer, BaseException))
        return hosts, min(ttls)

    async def _ask(self, name: str, kind: str) -> tuple[list[Any], float]:
        import dns.asyncresolver
        import dns.exception
        import dns.nameserver

        try:
            if self._resolver is None:
                resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
                if self._nameservers:
                    resolver.nameservers = [
                        dns.nameserver.Do53Nameserver(server.host or "", server.port) for server in self._nameservers
                    ]
                self._resolver = resolver
            answer = await self._resolver.resolve(name, kind, lifetime=LIFETIME_S, raise_on_no_answer=True)
        except (dns.exception.DNSException, OSError) as error:
            raise DnsError(str(error).replace("\n", " ")[:200] or type(error).__name__) from None
        return list(answer.rrset), float(answer.rrset.ttl)


def found(targets: list[Target], ttl_s: float) -> Found:
    # One address twice is one endpoint, as the better of the two says.
    best: dict[str, Target] = {}
    for target in sorted(targets, key=lambda target: (target.priority, -target.weight, target.text)):
        best.setdefault(target.text, target)
    return Found(tuple(sorted(best.values(), key=lambda target: target.text))[:MOST_TARGETS], ttl_s)
