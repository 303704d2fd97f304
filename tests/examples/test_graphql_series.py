"""GraphQL operations are counted by their names, and the endpoint gets what the client has sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.examples.parts import echo, example
from weir import testing

TWO = "query A { a } mutation B { b }"


@pytest.mark.parametrize(
    ("asked", "series"),
    [
        ({"query": "query GetUser($id: ID!) { user(id: $id) { name } }", "variables": {"id": 1}}, "query GetUser"),
        ({"query": "{ a }"}, "query without a name"),
        ({"query": "fragment F on T { a } subscription S { ...F }"}, "subscription S"),
        ({"query": TWO, "operationName": "B"}, "mutation B"),
        ({"query": TWO, "operationName": "C"}, "no operation"),
        ({"query": "query {"}, "no operation"),
        ({"query": "{" + "a " * 3000 + "}"}, "no operation"),
        ({"operationName": "A", "extensions": {"persistedQuery": {}}}, "persisted query"),
        ({"query": 17, "operationName": []}, "no operation"),
        ([{"query": "{ a }"}], "batch"),
        ({"query": "query " + "N" * 200 + " { a }"}, "query " + "N" * 94),
        ({"query": "{ a }", "padding": "x" * 70_000}, "/graphql"),
    ],
)
def test_what_is_counted(asked: Any, series: str) -> None:
    with example("graphql_series") as module, testing.proxy(echo, hooks=module) as proxy:
        response = requests.post(f"{proxy.url}/graphql", json=asked, timeout=10)
        assert json.loads(response.json()["body"]) == asked
        counted = {one.path: one.counters.requests for one in proxy.stats().series if one.counters.requests}
    assert counted == {series: 1}


def test_what_is_no_json_and_what_is_elsewhere_is_counted_by_its_path() -> None:
    with example("graphql_series") as module, testing.proxy(echo, hooks=module) as proxy:
        assert requests.post(f"{proxy.url}/graphql", data=b"{", timeout=10).json()["body"] == "{"
        requests.post(f"{proxy.url}/other", json={"query": "query A { a }"}, timeout=10)
        requests.get(f"{proxy.url}/graphql", timeout=10)
        counted = {one.path: one.counters.requests for one in proxy.stats().series if one.counters.requests}
    assert counted == {"/graphql": 2, "/other": 1}


def test_clients_cannot_make_up_names_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with example("graphql_series") as module, testing.proxy(echo, hooks=module) as proxy, requests.Session() as session:
        monkeypatch.setattr(module, "MOST_NAMES", 3)
        for number in [*range(6), 0]:
            session.post(f"{proxy.url}/graphql", json={"query": f"query Q{number} {{ a }}"}, timeout=10)
        counted = {one.path: one.counters.requests for one in proxy.stats().series if one.counters.requests}
    assert counted == {"query Q0": 2, "query Q1": 1, "query Q2": 1, "other operations": 3}
