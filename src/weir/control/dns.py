"""What a name stands for in the DNS: addresses and SRV records, with how long that holds.

What is hard here is an answer of which a part is missing. That a name has no IPv6 address, or that one of twenty hosts
is gone, is an answer; that nobody has answered about it within some seconds is none, and takes no endpoint away: the
last answer to that part stays.

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
# How long the last answer to a part stands in for it: then it is asked for again.
AGAIN_S: Final = 5.0
# Questions under way: each has a descriptor.
MOST_QUESTIONS: Final = 64
# Questions whose last answer is kept; beyond it the oldest is forgotten.
MOST_KEPT: Final = 4 * MOST_TARGETS


class DnsError(Exception):
    """Nothing was found; the text says why. `is_final`: a name server has said so."""

    def __init__(self, text: str, *, is_final: bool = False) -> None:
        super().__init__(text)
        self.is_final = is_final


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
        self._turns = asyncio.Semaphore(MOST_QUESTIONS)
        self._kept: dict[tuple[str, str], list[str]] = {}  # addresses, by name and kind, the oldest first

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
        targets, reasons, is_fresh = [], [], False
        for record, answer in zip(named, answers, strict=True):
            if isinstance(answer, DnsError):
                reasons.append(str(answer))
                hosts, host_ttl_s = [] if answer.is_final else self._last(record), AGAIN_S
            elif isinstance(answer, BaseException):
                raise answer
            else:
                (hosts, host_ttl_s), is_fresh = answer, True
            if hosts:
                ttl_s = min(ttl_s, host_ttl_s)
            weight = max(record.weight * MOST_WEIGHT // max(most, MOST_WEIGHT), 1)
            targets += [Target(host, record.port, ranks[record.priority], weight) for host in hosts]
        if not is_fresh:
            raise DnsError(reasons[0])
        return found(targets, ttl_s)

    async def _addresses(self, name: str) -> tuple[list[str], float]:
        """IPv4 and IPv6; one of them will do."""
        kinds = ("A", "AAAA")
        answers = await asyncio.gather(*(self._ask(name, kind) for kind in kinds), return_exceptions=True)
        hosts: list[str] = []
        ttls, errors = [], []
        is_old = False
        for kind, answer in zip(kinds, answers, strict=True):
            if isinstance(answer, DnsError):
                errors.append(answer)
                if answer.is_final:
                    self._kept.pop((name, kind), None)
                elif kept := self._kept.get((name, kind)):
                    hosts += kept
                    is_old = True
            elif isinstance(answer, BaseException):
                raise answer
            else:
                addresses = [record.address for record in answer[0]]
                self._keep(name, kind, addresses)
                hosts += addresses
                ttls.append(answer[1])
        if not ttls:
            raise min(errors, key=lambda error: error.is_final)
        return hosts, min(*ttls, AGAIN_S) if is_old else min(ttls)

    def _forget(self) -> None:
        """The system's name servers may be others by now: /etc/resolv.conf is read anew for the next question."""
        if not self._nameservers:
            self._resolver = None

    def _keep(self, name: str, kind: str, addresses: list[str]) -> None:
        self._kept.pop((name, kind), None)
        self._kept[name, kind] = addresses
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def _last(self, record: Any) -> list[str]:
        """What a record's host was when it was last known."""
        name = record.target.to_text(omit_final_dot=True)
        return [host for kind in ("A", "AAAA") for host in self._kept.get((name, kind), [])]

    async def _ask(self, name: str, kind: str) -> tuple[list[Any], float]:
        import dns.asyncresolver
        import dns.exception
        import dns.nameserver
        import dns.resolver

        try:
            async with self._turns:
                resolver = self._resolver
                if resolver is None:
                    resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
                    if self._nameservers:
                        resolver.nameservers = [
                            dns.nameserver.Do53Nameserver(server.host or "", server.port)
                            for server in self._nameservers
                        ]
                    self._resolver = resolver
                answer = await resolver.resolve(name, kind, lifetime=LIFETIME_S, raise_on_no_answer=True)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
            raise DnsError(str(error).replace("\n", " ")[:200], is_final=True) from None
        except dns.exception.Timeout:
            self._forget()
            # Not the resolver's own words, which have another time in them each time.
            raise DnsError(f"{name} {kind}: timed out, no answer within {LIFETIME_S:g} s") from None
        except (dns.exception.DNSException, OSError) as error:
            self._forget()
            raise DnsError(str(error).replace("\n", " ")[:200] or type(error).__name__) from None
        return list(answer.rrset), float(answer.rrset.ttl)


def found(targets: list[Target], ttl_s: float) -> Found:
    # One address twice is one endpoint, as the better of the two says.
    best: dict[str, Target] = {}
    for target in sorted(targets, key=lambda target: (target.priority, -target.weight, target.text)):
        best.setdefault(target.text, target)
    return Found(tuple(sorted(best.values(), key=lambda target: target.text))[:MOST_TARGETS], ttl_s)
