"""The table of the configuration that says which requests go where."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from weir.config import action_kinds, kinds, limit_kinds, route_kinds
from weir.config.action_model import RequestEdits, Respond, ResponseEdits
from weir.config.action_plan import ActionPlan, Phrase
from weir.config.limit_model import RateLimit
from weir.config.network_kinds import networks
from weir.config.plan import AddressPlan, MatchPlan, NetworkPlan, ValuePlan
from weir.config.table import Table, setting

__all__ = ["Route"]


class Route(Table):
    """Which requests it takes, and where they go. Of several that match, the most specific one is taken."""

    name: Annotated[str, route_kinds.route_name()] = Field(
        default="",
        description="What it is called in statistics and the log. When left out: what its conditions say.",
        examples=["api"],
    )
    listener: Annotated[tuple[str, ...], route_kinds.listeners()] = Field(
        default=(),
        description="The listeners whose requests it takes, by their addresses as they are written there.",
        examples=[":8080"],
    )
    host: Annotated[tuple[str, ...], route_kinds.hosts()] = setting(
        MatchPlan,
        "hosts",
        "Only requests for this host, or one of several: `api.example.com`, or `*.example.com` for all below it. "
        "Neither case nor port count.",
        example="api.example.com",
    )
    path: Annotated[str, route_kinds.path()] = setting(
        MatchPlan,
        "path",
        "Only requests for this path, however it is encoded: `/login`, `/users/{id}/posts` where `{id}` is any "
        "segment, or `/api/*` for `/api` and all below it.",
        example="/api/*",
    )
    methods: Annotated[tuple[str, ...], limit_kinds.methods()] = setting(
        MatchPlan, "methods", "Only requests with these methods.", example=["GET", "HEAD"]
    )
    fields: Annotated[tuple[ValuePlan, ...], route_kinds.fields()] = setting(
        MatchPlan,
        "fields",
        'Only requests with these fields: `"X-Beta" = "1"` with this value, `"1*"` with one that begins so, `true` '
        "with any, `false` without the field.",
        example={"X-Beta": "1"},
    )
    query: Annotated[tuple[ValuePlan, ...], route_kinds.query()] = setting(
        MatchPlan, "query", "Only requests with these parameters in the query; as `fields`.", example={"debug": "1"}
    )
    clients: Annotated[tuple[NetworkPlan, ...], networks()] = setting(
        MatchPlan,
        "clients",
        "Only requests of clients in these networks; who the client is behind proxies is said by `trusted_proxies`.",
        example=["10.0.0.0/8"],
    )
    to: Annotated[tuple[route_kinds.Side, ...], route_kinds.to()] = Field(
        default=(),
        description="Where requests go: the name of a cluster, the address of an endpoint, or weights between several: "
        "`{ app = 95, canary = 5 }`.",
        examples=["app"],
    )
    split_by: Annotated[str, route_kinds.split_key()] = setting(
        MatchPlan,
        "split_by",
        "With weights: what keeps its side, so that a `client`, or whoever brings the same cookie or field, always "
        "gets the same one. `off`: each request is drawn.",
        example="cookie:session",
    )
    redirect: Annotated[Phrase, action_kinds.redirect()] = Field(
        default=(),
        description="Instead of `to`: where clients are sent, with [variables](actions.md#variables).",
        examples=["https://{host}{target}"],
    )
    redirect_status: Annotated[int, action_kinds.redirect_status()] = Field(
        default=307,
        description="With which status. 301 and 308 are for ever, and caches keep them; 307 and 308 keep the method.",
        examples=[308],
    )
    strip_prefix: Annotated[str, action_kinds.prefix("/api")] = Field(
        default="",
        description="The beginning of `path` that endpoints are not shown: `/api/users` becomes `/users`.",
        examples=["/api"],
    )
    add_prefix: Annotated[str, action_kinds.prefix("/v1")] = setting(
        ActionPlan, "add_prefix", "What endpoints are shown before the path.", example="/v1"
    )
    rewrite: Annotated[str, action_kinds.rewrite()] = Field(
        default="",
        description="The path that endpoints are shown, with parameters of `path`, and `/*` for what followed its own "
        "`/*`.",
        examples=["/people/{id}"],
    )
    mirror: Annotated[str | AddressPlan, action_kinds.mirror()] = Field(
        default="",
        description="A cluster, or an endpoint, that gets a copy of each request. Nobody waits for it, and its "
        "responses are dropped ([what routes do](actions.md#mirrors)).",
        examples=["shadow"],
    )
    mirror_percent: Annotated[int, kinds.count(1, 100)] = setting(
        ActionPlan, "mirror_percent", "Of how many of 100 requests there is a copy.", example=10
    )
    mirror_max: Annotated[int, kinds.count(1, 10_000)] = setting(
        ActionPlan,
        "mirror_max",
        "Copies in progress at a time, per worker. Beyond it none are made.",
        example=20,
    )
    max_body: Annotated[int | None, route_kinds.inherited(kinds.size(1, "1024TiB", none=True))] = Field(
        default=None, description="Size of a request body. Beyond it: 413.", examples=["10MiB"]
    )
    paths: Annotated[str | None, route_kinds.inherited(kinds.choice("template", "exact", "stats"))] = Field(
        default=None, description="How this route's paths are counted, as in `[stats]`.", examples=["exact"]
    )
    openapi: Annotated[tuple[str, ...] | None, kinds.openapi("listener")] = Field(
        default=None, description="Files that describe the API behind this route.", examples=["openapi.yaml"]
    )
    rate_limit: Annotated[tuple[RateLimit, ...], Field(strict=False)] = Field(
        default=(), description="How many of its requests are let in, whichever listener they come to."
    )
    respond: Respond = Field(default_factory=Respond, description="An answer of weir's own.")
    request: RequestEdits = Field(default_factory=RequestEdits, description="What is changed in requests.")
    response: ResponseEdits = Field(default_factory=ResponseEdits, description="What is changed in responses.")
