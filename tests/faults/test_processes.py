"""A sample of the faulty runs on real connections, through weir as a process; `make faults` plays all of them."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign, Job
from tests.faults.exchanges import EXCHANGES
from tests.faults.fakes import lengths
from tests.faults.pipes import KINDS
from tests.faults.positions import faults_of

EVERY = 53


def sample(seed: int) -> list[Job]:
    """All exchanges without a fault, and with every 53rd of the faults, from another one on for each."""
    dice = random.Random(seed)
    jobs: list[Job] = [(exchange, None) for exchange in EXCHANGES]
    for exchange in EXCHANGES:
        for kind in KINDS:
            faults = list(faults_of(exchange, lengths(exchange)[0], [kind], 1999))
            jobs += [(exchange, fault) for fault in faults[dice.randrange(EVERY) :: EVERY]]
    return jobs


@pytest.mark.timeout(120)
def test_a_sample_of_all_faults(tmp_path: Path) -> None:
    seed = int(os.environ.get("WEIR_FAULTS_SEED") or random.randrange(1_000_000))
    print(f"seed {seed}")
    campaign = Campaign(tmp_path, print)
    jobs = sample(seed)
    asyncio.run(campaign.play(jobs))
    assert campaign.judged == len(jobs)
    assert set(campaign.kinds) == {"no fault", *KINDS}
    assert campaign.wrong == []
