from collections.abc import Sequence
from mmap import mmap

from weir.config.plan import ListenerPlan
from weir.plane.answers import ErrorPages

class Admission:
    def __init__(
        self, plan: ListenerPlan, limits: Sequence[mmap], faults: Sequence[mmap], worker: int, pages: ErrorPages
    ) -> None: ...
    def ask(self, request: bytes, client: bytes, now_us: int, repeat: int = 1) -> tuple[int, int, int]: ...

def key_of_client(client: bytes) -> bytes: ...
