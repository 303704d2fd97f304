from collections.abc import Iterable

from weir.config.plan import ErrorPagePlan

class ErrorPages:
    def __init__(self, pages: Iterable[ErrorPagePlan] = ()) -> None: ...
