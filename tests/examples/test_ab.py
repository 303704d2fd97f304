"""The A/B split: visitors stay on their side, and each side's figures are its own."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from tests.cli.support import listening, running
from tests.examples.parts import HOOKS, example
from weir import testing


def side(name: str) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        status = 500 if scope["path"] == "/fails" else 200
        await send({"type": "http.response.start", "status": status, "headers": [(b"x-side", name.encode())]})
        await send({"type": "http.response.body", "body": name.encode()})

    return app


def configuration(old: str, new: str) -> dict[str, Any]:
    return {
        "listener": [{"address": "127.0.0.1:0", "to": "old"}],
        "cluster": [{"name": "old", "endpoints": [old]}, {"name": "new", "endpoints": [new]}],
    }


async def test_a_visitor_stays_and_each_side_has_its_own_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[tuple[str, str]] = Counter()
    async with testing.proxy(side("old")) as old, testing.proxy(side("new")) as new:
        with example("ab") as module:
            monkeypatch.setattr(module, "SHARE", 0.5)
            async with testing.proxy(configuration(old.address, new.address), hooks=module) as proxy:
                async with httpx.AsyncClient(base_url=proxy.url) as client:
                    for _visitor in range(40):
                        client.cookies.clear()
                        first = await client.get("/cart")
                        chosen = first.headers["x-side"]
                        assert first.headers["set-cookie"].startswith(f"side={chosen}; Path=/; Max-Age=2592000;")
                        asked[chosen, "/cart"] += 1
                        for path in ("/items/17", "/items/18?page=2"):
                            response = await client.get(path)
                            assert response.headers["x-side"] == response.text == chosen
                            assert "set-cookie" not in response.headers
                            asked[chosen, "/items/{id}"] += 1
                counted = {one.path: one.counters.requests for one in proxy.stats().series if one.counters.requests}
    assert {chosen for chosen, _path in asked} == {"old", "new"}
    assert counted == {f"{path} ({chosen})": count for (chosen, path), count in asked.items()}


async def test_a_path_as_long_as_may_be_is_counted_for_its_side() -> None:
    async with testing.proxy(side("old")) as old:
        with example("ab") as module:
            tables = configuration(old.address, old.address) | {"stats": {"paths": "exact"}}
            async with testing.proxy(tables, hooks=module) as proxy, httpx.AsyncClient(base_url=proxy.url) as client:
                for name in ("x" * 250, "y" * 8190):
                    assert (await client.get(f"/{name}", headers={"Cookie": "side=new"})).status_code == 200
                counted = {one.path: one.counters.requests for one in proxy.stats().series if one.counters.requests}
    assert counted == {f"/{letter * 189} (new)": 1 for letter in "xy"}


@pytest.mark.parametrize(
    ("cookie", "known"),
    [
        ("side=new", "new"),
        ("a=b; side=old ;c", "old"),
        ("side=newer", None),
        ("outside=new", None),
        ("side=", None),
    ],
)
async def test_whose_cookie_is_none_is_a_newcomer(cookie: str, known: str | None) -> None:
    async with testing.proxy(side("old")) as old, testing.proxy(side("new")) as new:
        with example("ab") as module:
            async with testing.proxy(configuration(old.address, new.address), hooks=module) as proxy:
                async with httpx.AsyncClient() as client:
                    response = await client.get(proxy.url, headers={"Cookie": cookie})
    assert ("set-cookie" in response.headers) == (known is None)
    assert known in (None, response.text)


def test_the_figures_of_both_sides_from_a_running_weir(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with testing.proxy(side("old")) as old, testing.proxy(side("new")) as new, example("ab") as module:
        written = re.search(r"    hooks = .*?\n\n(?=\w)", module.__doc__ or "", re.DOTALL)
        assert written is not None
        text = re.sub("^    ", "", written[0], flags=re.MULTILINE)
        text = text.replace(":8080", "127.0.0.1:0").replace("127.0.0.1:8081", old.address)
        text = text.replace("127.0.0.1:8082", new.address)
        admin = tmp_path / "admin.sock"
        text = text.replace("ab.py", str(HOOKS / "ab.py"))
        (tmp_path / "ab.toml").write_text(f'workers = 1\n{text}\n[admin]\naddress = "unix:{admin}"\n')
        with running(tmp_path, "run", "-c", str(tmp_path / "ab.toml")) as weir:
            url = f"http://{listening(weir)}"
            for chosen, path in [
                ("old", "/cart"),
                ("old", "/fails"),
                ("new", "/cart"),
                ("new", "/cart"),
                ("new", "/x"),
            ]:
                assert requests.get(url + path, timeout=10, headers={"Cookie": f"side={chosen}"}).text == chosen
            sides = module.compare(f"unix:{admin}")
            assert weir.stop() == 0
    assert (sides["old"]["requests"], sides["old"]["server errors"], sides["old"]["bytes"]) == (2, 1, 6)
    assert (sides["new"]["requests"], sides["new"]["server errors"], sides["new"]["bytes"]) == (3, 0, 9)
    assert sides["old"]["microseconds"] > 0
