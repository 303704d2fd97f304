"""The table of the configuration that says which requests go where."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from weir.config import kinds, limit_kinds, route_kinds
from weir.config.network_kinds import networks
from weir.config.plan import MatchPlan, NetworkPlan, ValuePlan
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
    max_body: Annotated[int | None, route_kinds.inherited(kinds.size(1, "1024TiB", none=True))] = Field(
        default=None, description="Size of a request body. Beyond it: 413.", examples=["10MiB"]
    )
    paths: Annotated[str | None, route_kinds.inherited(kinds.choice("template", "exact", "stats"))] = Field(
        default=None, description="How this route's paths are counted, as in `[stats]`.", examples=["exact"]
    )
    openapi: Annotated[tuple[str, ...] | None, kinds.openapi("listener")] = Field(
        default=None, description="Files that describe the API behind this route.", examples=["openapi.yaml"]
    )
