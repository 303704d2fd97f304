"""The live page in a real browser: what hooks did, and the routes that can be chosen."""

from __future__ import annotations

import struct

from playwright.sync_api import expect

from tests.admin.test_browser import OpenPage, browser, open_page
from tests.e2e.proxy import free_port
from tools.live_page import Site, Traffic
from weir.config.plan import Plan
from weir.plane.counters import Counters
from weir.stats import layout
from weir.stats.hooks import BUCKETS_AT, HEADER_BYTES
from weir.stats.rules import RuleBook

__all__ = ["browser", "open_page"]


def test_hooks_with_what_they_did(open_page: OpenPage) -> None:
    quiet = Traffic(rows=64)
    quiet.publish()
    hooked = (("request", "app.<i>guard"), ("log", "app.note"))
    rules = RuleBook(Plan((), (), (), hooked=hooked), workers=1)
    (guard, note), together = rules.hooks.memories(hooked), rules.hooks.together()
    struct.pack_into("6Q", guard, HEADER_BYTES, 1_200, 3, 2, 5, 7, 1_200_000_000)
    struct.pack_into("I", guard, HEADER_BYTES + BUCKETS_AT + 4 * 79, 1_200)
    struct.pack_into("2Q", together, HEADER_BYTES, 4_800, 1_200)
    with Site(quiet.table, rules=rules) as site:
        page = open_page(site.address)
        region = page.get_by_role("region", name="Hooks")
        expect(region.locator("h2")).to_contain_text("25 % of requests met one")
        rows = region.locator("tbody tr")
        expect(rows.nth(0).locator("td")).to_have_text(
            ["app.<i>guard", "request", "1,200", "1.00 ms", "981 µs", "3", "2", "7", "5"]
        )
        expect(rows.nth(0)).to_have_class("bad")
        expect(rows.nth(1).locator("td")).to_have_text(["app.note", "log", "0", *["\u2013"] * 2, *["0"] * 4])
        expect(rows.nth(1)).not_to_have_class("bad")
        # What they do meanwhile is shown as it comes.
        struct.pack_into("6Q", note, HEADER_BYTES, 9, 0, 1, 0, 0, 900_000)
        expect(rows.nth(1).locator("td").nth(2)).to_have_text("9")
        expect(rows.nth(1)).to_have_class("bad")


def test_the_routes_of_another_weir_are_those_that_can_be_chosen(open_page: OpenPage) -> None:
    """As many as before, and others: as after a restart with a new configuration."""
    port = free_port()

    def table_of(*names: str) -> layout.Table:
        table = layout.create(16, names, workers=1)
        for number in range(len(names)):
            Counters(table, 0).add(number, 0, 5)
        return table

    with Site(table_of("one", "two"), port=port) as site:
        page = open_page(
            f"{site.address}#window=0", allowed="ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_CONNECTION_RESET"
        )
        choice = page.get_by_label("Route", exact=True).locator("option")
        expect(choice).to_have_text(["all", "one", "two"])
        page.get_by_label("Route", exact=True).select_option("two")
        expect(page.locator("#rows tr")).to_have_count(1)
    with Site(table_of("one", "three"), port=port):
        expect(choice).to_have_text(["all", "one", "three", "two"])
        expect(page.get_by_label("Route", exact=True)).to_have_value("two")
        page.get_by_label("Route", exact=True).select_option("three")
        expect(page.locator("#rows tr")).to_have_count(1)
        page.close()
