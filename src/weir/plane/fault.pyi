from mmap import mmap

from weir.config.plan import FaultPlan

class Fault:
    def __init__(self, memory: mmap, worker: int, plan: FaultPlan) -> None: ...
    def plays(self, count: int) -> list[tuple[int, bool, int]]: ...
