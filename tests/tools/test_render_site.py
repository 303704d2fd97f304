"""The renderer of the demonstration's pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.render_site import Renderer, page_path, pictures, render, slug

NAMES = ("README.md", "docs/index.md", "docs/cli.md", "docs/decisions/0001-a.md")


@pytest.mark.parametrize(
    ("document", "page"),
    [("README.md", "index.html"), ("CHANGELOG.md", "changelog.html"), ("docs/cli.md", "docs/cli.html")],
)
def test_documents_keep_their_place(document: str, page: str) -> None:
    assert page_path(document) == page


@pytest.mark.parametrize(
    ("document", "href", "link"),
    [
        ("README.md", "docs/cli.md", "docs/cli.html"),
        ("docs/cli.md", "../README.md#install", "../index.html#install"),
        ("docs/decisions/0001-a.md", "../index.md", "../index.html"),
        ("docs/cli.md", "#here", "#here"),
        ("docs/cli.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("README.md", "LICENSE", None),
        ("README.md", "bench/results/", None),
    ],
)
def test_links_lead_to_pages(document: str, href: str, link: str | None) -> None:
    assert Renderer(NAMES).link(document, href) == link


def test_a_page_has_title_anchors_and_only_links_that_lead_somewhere() -> None:
    page = Renderer(NAMES).page("docs/cli.md", "# The `a` page\n\n## Two words\n\n[l](../LICENSE) [i](index.md)\n")
    assert "<title>The a page · weir</title>" in page
    assert '<h2 id="two-words">' in page
    assert '<p>l <a href="index.html">i</a></p>' in page
    assert '<link rel="stylesheet" href="../style.css">' in page


def test_a_heading_is_an_anchor_as_code_hosts_make_it() -> None:
    assert slug("X-Bytes, and the page!") == "x-bytes-and-the-page"


def test_the_page_for_nothing_works_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# All\n")
    pages = render(tmp_path)
    assert set(pages) == {"404.html", "docs/index.html", "style.css"}
    assert 'href="/style.css"' in pages["404.html"]
    assert 'href="/docs/index.html"' in pages["404.html"]
    assert 'href="//' not in pages["404.html"]


def test_pictures_are_where_the_pages_look_for_them(tmp_path: Path) -> None:
    (tmp_path / "docs" / "images").mkdir(parents=True)
    (tmp_path / "docs" / "images" / "a.png").write_bytes(b"\x89PNG")
    assert pictures(tmp_path) == {"docs/images/a.png": b"\x89PNG"}
    assert 'src="images/a.png"' in Renderer(NAMES).page("docs/cli.md", "![A picture](images/a.png)\n")
