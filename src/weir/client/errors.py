"""What can go wrong with a call: where, what, and which side said so."""

from __future__ import annotations

__all__ = ["CallError", "ClientError", "ProtocolError", "TimedOutError", "UnreachableError"]


class ClientError(Exception):
    """Whatever a call can end with. The message names the address."""


class UnreachableError(ClientError):
    """Nobody answers at the address, or the connection broke before the answer was complete."""


class TimedOutError(ClientError):
    """No answer within `timeout`."""


class ProtocolError(ClientError):
    """Somebody answers, but not as weir does: another program, or a version that does not fit."""


class CallError(ClientError):
    """weir says no. `code` is Connect's word for it, such as "invalid_argument"; `message` says what to do."""

    def __init__(self, address: str, code: str, message: str) -> None:
        super().__init__(f"{address}: {code}: {message}")
        self.code = code
        self.message = message
