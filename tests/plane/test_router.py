"""Which route a request takes."""

from __future__ import annotations

from weir.config.plan import MatchPlan
from weir.plane.router import Router


def test_the_most_specific_route_is_taken() -> None:
    router = Router(
        [
            MatchPlan("any", ((0, 1),)),
            MatchPlan("prefix", ((1, 1),), path="/api/*"),
            MatchPlan("host", ((2, 1),), hosts=("a.test",)),
        ]
    )
    assert router.explain(b"GET /x HTTP/1.1\r\nHost: b.test\r\n\r\n")[0] == 0
    assert router.explain(b"GET /api HTTP/1.1\r\nHost: b.test\r\n\r\n")[0] == 1
    assert router.explain(b"GET /api HTTP/1.1\r\nHost: A.test.:80\r\n\r\n")[0] == 2
