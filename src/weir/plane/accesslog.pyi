class AccessLog:
    @property
    def enabled(self) -> bool: ...
    @property
    def lines(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def wanted(self) -> bool: ...
    def __init__(self, format: str, size: int) -> None: ...
    def take(self) -> bytes: ...
    def add_for_test(
        self,
        *,
        wall_s: int = 0,
        repeat: int = 1,
        client: bytes = b"",
        method: bytes = b"",
        target: bytes = b"",
        path: bytes = b"",
        version_minor: int = 1,
        has_head: bool = True,
        status: int = 0,
        reason: int = 0,
        response_body_bytes: int = 0,
        request_body_bytes: int = 0,
        host: bytes = b"",
        referer: bytes = b"",
        user_agent: bytes = b"",
        endpoint: bytes = b"",
        total_us: int = 0,
        first_byte_us: int = -1,
        parts_us: tuple[int, ...] = (0, 0, 0, 0, 0),
        retries: int = 0,
        id: bytes = b"",
        trace: bytes = b"",
    ) -> None: ...
