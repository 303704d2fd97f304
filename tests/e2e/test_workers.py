"""Several workers under a supervisor: who dies is replaced, nothing counted is lost, nobody is left behind."""

from __future__ import annotations

import pytest

from .conftest import MakeRig
from .rig import WORKERS

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_all_workers_count_in_one_table(weir: MakeRig, workers: int) -> None:
    rig = weir(top={**WORKERS, "workers": workers})
    for n in range(1, 41):
        response = rig.get("/counted")
        assert response.status == 200
        assert int(response.head.get("X-Bytes") or 0) == n * len(response.body)
    assert b"40 " in rig.get("/weir-stats").body
