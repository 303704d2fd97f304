"""GraphQL: every request is a POST to /graphql, so figures by path say nothing. Here each operation has its own.

    weir run --listen :8080 --to 127.0.0.1:8081 --hooks graphql_series.py

`weir stats` then shows `query GetUser` and `mutation AddToCart` with rates, errors and percentiles. Needs graphql-core.
"""

from __future__ import annotations

import json
from functools import lru_cache

from graphql import GraphQLError, OperationDefinitionNode, parse

import weir

LIMIT = 64 * 1024  # of a body; larger ones pass, and are counted under their path
MOST_TOKENS = 2000
MOST_NAMES = 500  # clients choose names: further ones are counted together

names: set[str] = set()


@weir.hook("request", path="/graphql", methods=["POST"], on_error="skip")
async def name_operation(request: weir.Request) -> None:
    try:
        asked = json.loads(await request.read(LIMIT))
    except (weir.BodyTooLarge, ValueError):
        return
    if isinstance(asked, dict):
        name = operation_of(str(asked.get("query") or ""), str(asked.get("operationName") or ""))
    else:
        name = "batch"
    if name not in names and len(names) >= MOST_NAMES:
        name = "other operations"
    names.add(name)
    request.series = name


@lru_cache(maxsize=256)
def operation_of(query: str, chosen: str) -> str:
    """The kind and name of what is asked: "query GetUser"."""
    if not query:
        return "persisted query"
    try:
        document = parse(query, no_location=True, max_tokens=MOST_TOKENS)
    except GraphQLError:
        return "no operation"
    for one in document.definitions:
        if isinstance(one, OperationDefinitionNode):
            name = one.name.value if one.name else "without a name"
            if chosen in ("", name):
                return f"{one.operation.value} {name}"[:100]
    return "no operation"
