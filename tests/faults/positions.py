"""At which places an exchange is broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tests.faults.exchanges import Exchange
from tests.faults.pipes import Fault

__all__ = ["faults_of"]

EDGE = 250  # bytes at each end of a large message that are always taken one by one


def faults_of(
    exchange: Exchange, lengths: Mapping[tuple[str, str], int], kinds: Sequence[str], stride: int = 1
) -> Iterator[Fault]:
    """Every fault of the kinds at every byte. `stride`: inside of a large body only every so many bytes."""
    for (side, way), length in lengths.items():
        for at in range(length + 1):
            inside = exchange.is_bulk and EDGE < at < length - EDGE
            if not inside or at % stride == 0:
                for kind in kinds:
                    yield Fault(side, way, kind, at)
