"""JSON of questions, read strictly: who misspells a field is told so, and what there is."""

from __future__ import annotations

import json
from typing import Any, Final

from connectrpc.code import Code
from connectrpc.codec import Codec, proto_json_codec
from connectrpc.errors import ConnectError

from weir._gen import stats_pb as pb

__all__ = ["StrictJSON"]

EXAMPLES: Final = {
    "google.protobuf.Duration": 'write "60s"',
    "google.protobuf.Timestamp": 'write "2026-01-31T12:00:00Z"',
    "weir.v1.Sort": "one of " + ", ".join(f"SORT_{sort.name}" for sort in pb.Sort if sort is not pb.Sort.UNSPECIFIED),
}


class StrictJSON(Codec[Any, Any]):
    """proto3's JSON. Unknown fields, which Connect ignores unless told otherwise, are errors."""

    def __init__(self) -> None:
        self._inner = proto_json_codec(ignore_unknown_fields=False)

    def name(self) -> str:
        return self._inner.name()

    def encode(self, message: Any) -> bytes:
        return self._inner.encode(message)

    def decode(self, data: bytes | bytearray, message_class: type[Any]) -> Any:
        """ConnectError INVALID_ARGUMENT with what is wrong and, where it is known, what would do."""
        try:
            return self._inner.decode(data, message_class)
        except Exception as error:
            text = f"{message_class.__name__}: {error}"
            hints = [hint for kind, hint in EXAMPLES.items() if kind in text]
            if "is unknown" in text:
                hints.append(f"there are {', '.join(sorted(fields(message_class, text)))}")
            raise ConnectError(Code.INVALID_ARGUMENT, "; ".join([printable(text), *hints])) from None


def fields(message_class: type[Any], text: str) -> list[str]:
    """The fields of the message, or of that within it which the error names, as JSON writes them."""
    kind = pb.Filter if "weir.v1.Filter" in text else message_class
    return [camel(name) for name in kind.__slots__]


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def printable(text: str) -> str:
    """What a client sent stands in the error, with nothing in it that could move a cursor, and not at length."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text[:500])
