from collections.abc import Sequence

from weir.config.plan import NetworkPlan

class Networks:
    def __init__(self, plans: Sequence[NetworkPlan]) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def has_unix(self) -> bool: ...
