"""`make faults`: every fault at every byte of every exchange, first on fake streams, then through real processes.

Through processes the inside of the large bodies is taken every STRIDE bytes; on fake streams every byte is.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.campaign import Campaign, Job
from tests.faults.exchanges import EXCHANGES
from tests.faults.fakes import Stage, lengths
from tests.faults.pipes import KINDS
from tests.faults.positions import faults_of

STRIDE = 97


def say(text: str) -> None:
    print(text, flush=True)


def on_fake_streams(stride: int) -> int:
    """Plays all faults; returns how many runs were wrong."""
    started, said = time.monotonic(), time.monotonic()
    runs = wrong = 0
    for exchange in EXCHANGES:
        stage = Stage(exchange)
        for fault in faults_of(exchange, lengths(exchange)[0], [kind for kind in KINDS if kind != "delay"], stride):
            runs += 1
            if found := stage.run(fault):
                wrong += 1
                say(f"{exchange.name}, {fault}: {'; '.join(found)}")
            if time.monotonic() - said > 5:
                said = time.monotonic()
                say(f"fake streams: {runs} runs, {runs / (said - started):.0f}/s, {wrong} wrong, at {exchange.name}")
        if found := stage.close():
            wrong += 1
            say(f"{exchange.name}: {'; '.join(found)}")
    say(f"fake streams: {runs} runs in {time.monotonic() - started:.0f} s, {wrong} wrong outcomes")
    return wrong


def through_processes(stride: int, lanes: int) -> int:
    jobs: list[Job] = [(exchange, None) for exchange in EXCHANGES]
    for exchange in EXCHANGES:
        jobs += [(exchange, fault) for fault in faults_of(exchange, lengths(exchange)[0], KINDS, stride)]
    with tempfile.TemporaryDirectory(prefix="weir-faults-") as directory:
        campaign = Campaign(Path(directory), lambda text: say(f"processes: {text}"), lanes=lanes)
        asyncio.run(campaign.play(jobs))
    return len(campaign.wrong)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--fakes-stride", type=int, default=1, help="inside of large bodies, on fake streams")
    parser.add_argument("--stride", type=int, default=STRIDE, help="inside of large bodies, through processes")
    parser.add_argument("--lanes", type=int, default=60, help="runs at a time through each of two processes")
    parser.add_argument("--only", choices=["fakes", "processes"])
    options = parser.parse_args()
    wrong = 0
    if options.only != "processes":
        wrong += on_fake_streams(options.fakes_stride)
    if options.only != "fakes":
        wrong += through_processes(options.stride, options.lanes)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
