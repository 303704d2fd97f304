from weir.plane.trust import Networks

class Refused(Exception):
    reason: int
    sent: bytes
    def __init__(self, reason: int) -> None: ...

class ParsedHead:
    length: int
    version_minor: int
    method: int
    method_name: bytes
    target: bytes
    target_form: int
    path: bytes
    query: bytes
    authority: bytes
    status: int
    reason_phrase: bytes
    fields: list[tuple[bytes, bytes]]
    ids: list[int]
    first: list[int]
    count: list[int]

def parse_request(
    data: bytes,
    *,
    head_bytes: int = 32768,
    target_bytes: int = 8192,
    fields: int = 100,
    step: int | None = None,
    repeat: int = 1,
) -> ParsedHead | None: ...
def parse_response(
    data: bytes, *, head_bytes: int = 32768, fields: int = 100, step: int | None = None, repeat: int = 1
) -> ParsedHead | None: ...
def parse_fields(
    data: bytes, *, head_bytes: int = 32768, fields: int = 100, step: int | None = None, repeat: int = 1
) -> ParsedHead | None: ...
def has_token(value: bytes, token: bytes) -> bool: ...
def is_lower(text: bytes, lower: bytes) -> bool: ...
def request_framing(data: bytes) -> tuple[int, int, bool, bool]: ...
def response_status(data: bytes, *, head_bytes: int = 32_768, fields: int = 100) -> tuple[int, int] | None: ...
def response_framing(data: bytes, method: int, upgrade: bool = False) -> tuple[int, int, bool, bool]: ...
def rechunk(
    data: bytes, *, decode: bool = False, step: int | None = None, head_bytes: int = 32768, fields: int = 100
) -> tuple[bytes, int, int, bool]: ...
def forward_request(
    data: bytes,
    *,
    forwarded: int = 0,
    via: bool = True,
    host: bytes = b"",
    client: bytes = b"192.0.2.1",
    proto: bytes = b"http",
    keep_proto: bool = False,
    keep_host: bool = False,
    repeat: int = 1,
) -> bytes: ...
def identified(
    data: bytes, *, request_id: int = 0, trace: int = 0, sample: int = 100, state: int = 0, repeat: int = 1
) -> tuple[bytes, bytes, bytes, bytes, int]: ...
def read_proxy_header(
    data: bytes, step: int | None = None
) -> tuple[int, bool, tuple[str, int] | None, tuple[str, int] | None] | None: ...
def make_proxy_header(version: int, source: bytes, destination: bytes, *, local: bool = False) -> bytes: ...
def client_of(data: bytes, hop: bytes, trusted: Networks, *, repeat: int = 1) -> tuple[str, int, bool, bool]: ...
def keep_alive_timeout(data: bytes) -> int: ...
def prefers(data: bytes) -> str: ...
def check(data: bytes, *, repeat: int = 1) -> tuple[bool, bool, bool]: ...
def forward_response(
    data: bytes,
    *,
    via: bool = True,
    close: bool = False,
    keep_alive: bool = False,
    chunked: bool = False,
    interim: bool = False,
    upgrade: bool = False,
    counter: bytes = b"X-Bytes",
    counter_value: int = 0,
    repeat: int = 1,
) -> bytes: ...
