"""The targets of fuzzing: each is a function of bytes that raises when what its docstring promises does not hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fuzz.chunks import chunks
from fuzz.exchange import exchange
from fuzz.forward import forward
from fuzz.framing import framing
from fuzz.heads import head_request, head_response
from fuzz.proxyheader import proxy_header

__all__ = ["CORPUS", "CRASHES", "HERE", "TARGETS", "Target"]

Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (head_request, head_response, framing, chunks, forward, proxy_header, exchange)
}

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"  # of each target, in a folder of its name: inputs that reach what others do not
CRASHES = HERE / "crashes"  # likewise: inputs that once failed
