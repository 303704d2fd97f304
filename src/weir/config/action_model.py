"""Tables of a route that say what is done with its requests and responses."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from weir.config import action_kinds, kinds
from weir.config.action_plan import Phrase
from weir.config.table import Table

__all__ = ["RequestEdits", "Respond", "ResponseEdits"]

_Fields = tuple[tuple[str, Phrase], ...]


class Respond(Table):
    """An answer of weir's own, instead of an endpoint's."""

    status: Annotated[int, action_kinds.status()] = Field(default=200, description="Its status.", examples=[503])
    body: Annotated[str, action_kinds.body()] = Field(
        default="",
        description="Its body. Variables are filled in where `content_type` is left out: in others, and in files, "
        "braces stand for themselves.",
        examples=["closed until {{noon}}, {client}\n"],
    )
    file: Annotated[tuple[str, str, str] | None, action_kinds.body_file()] = Field(
        default=None,
        description="A file that is the body, UTF-8, read when the configuration is. The path is taken from the "
        "directory weir was started in.",
        examples=["maintenance.html"],
    )
    content_type: Annotated[str, action_kinds.content_type()] = Field(
        default="",
        description="Its media type. When left out: `text/plain; charset=utf-8`, or by the name of the file.",
        examples=["application/json"],
    )


class RequestEdits(Table):
    """What is changed in the heads of a route's requests before they go on."""

    set: Annotated[
        _Fields, action_kinds.lines(action_kinds.REQUEST_VARIABLES, action_kinds.REQUEST_RESERVED, several=False)
    ] = Field(
        default=(),
        description="Fields that are there once, with this value, whatever the client sent. One whose variables are "
        "all empty is left out.",
        examples=[{"X-Client": "{client}"}],
    )
    add: Annotated[
        _Fields, action_kinds.lines(action_kinds.REQUEST_VARIABLES, action_kinds.REQUEST_RESERVED, several=True)
    ] = Field(default=(), description="Fields that are added to what the client sent.", examples=[{"X-Via": "weir"}])
    remove: Annotated[tuple[str, ...], action_kinds.names(action_kinds.REQUEST_RESERVED)] = Field(
        default=(), description="Fields that are taken out.", examples=[["X-Debug", "Authorization"]]
    )
    host: Annotated[str, kinds.host_field()] = Field(
        default="",
        description="What endpoints are told in Host, in place of the cluster's `host`.",
        examples=["app.internal"],
    )


class ResponseEdits(Table):
    """What is changed in the heads of a route's responses before they go to the client."""

    set: Annotated[
        _Fields, action_kinds.lines(action_kinds.RESPONSE_VARIABLES, action_kinds.RESPONSE_RESERVED, several=False)
    ] = Field(
        default=(),
        description="Fields that are there once, with this value, whatever the endpoint or a hook said.",
        examples=[{"Strict-Transport-Security": "max-age=31536000"}],
    )
    add: Annotated[
        _Fields, action_kinds.lines(action_kinds.RESPONSE_VARIABLES, action_kinds.RESPONSE_RESERVED, several=True)
    ] = Field(default=(), description="Fields that are added.", examples=[{"Set-Cookie": ["seen=1", "by={endpoint}"]}])
    remove: Annotated[tuple[str, ...], action_kinds.names(action_kinds.RESPONSE_RESERVED)] = Field(
        default=(), description="Fields that are taken out.", examples=[["X-Powered-By", "Server"]]
    )
