"""Renders the project's documents into the pages that the demonstration serves.

    python tools/render_site.py           write src/weir/demo/site
    python tools/render_site.py --check   exit 1, naming them, if any page would change

README.md becomes index.html; every other document keeps its path, in lower case, with .html for .md. Links between
documents are rewritten; a link to a file that is no page becomes plain text. Pictures (docs/images) are copied.
"""

from __future__ import annotations

import itertools
import posixpath
import re
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from string import Template

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "src" / "weir" / "demo" / "site"
LAYOUT = ROOT / "tools" / "site"

# What stands at the top of every page, if it exists.
NAVIGATION = (
    ("docs/getting-started.md", "Getting started"),
    ("docs/cli.md", "Commands"),
    ("docs/configuration.md", "Configuration"),
    ("docs/statistics.md", "Statistics"),
    ("docs/http.md", "HTTP"),
    ("docs/pool.md", "Pool"),
    ("docs/index.md", "All pages"),
)
NOT_FOUND = "# No such page\n\nThere is no page at this address. [All pages](docs/index.md) are listed.\n"


def documents(root: Path) -> list[str]:
    """Paths of the documents under a root, relative to it, sorted."""
    found = [*root.glob("*.md"), *root.glob("docs/**/*.md")]
    return sorted(path.relative_to(root).as_posix() for path in found)


def page_path(document: str) -> str:
    """Where the page of a document lies in the site."""
    return "index.html" if document == "README.md" else document.lower().removesuffix(".md") + ".html"


def slug(heading: str) -> str:
    """The anchor of a heading, as the usual code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


class Renderer:
    """Markdown to pages, for one set of documents."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)
        self.markdown = MarkdownIt("commonmark").enable("table")
        self.template = Template((LAYOUT / "page.html").read_text())

    def page(self, document: str, text: str) -> str:
        """The whole page of a document."""
        tokens = self.markdown.parse(text)
        title = "weir"
        for token, following in itertools.pairwise(tokens):
            if token.type == "heading_open":
                token.attrSet("id", slug(following.content))
                if token.tag == "h1":
                    title = re.sub(r"[`*]", "", following.content)
        for token in tokens:
            self._rewrite_links(document, token)
        root = "../" * page_path(document).count("/")
        content = self.markdown.renderer.render(tokens, self.markdown.options, {})
        return self.template.substitute(
            title=title if title.startswith("weir") else f"{title} · weir",
            root=root,
            navigation=self._navigation(document, root),
            content=content.rstrip(),
        )

    def _navigation(self, document: str, root: str) -> str:
        lines = []
        for name, label in NAVIGATION:
            if name in self.names:
                current = ' aria-current="page"' if name == document else ""
                lines.append(f'<a href="{root}{page_path(name)}"{current}>{label}</a>')
        return "\n".join(lines)

    def _rewrite_links(self, document: str, token: Token) -> None:
        kept: list[Token] = []
        dropped = 0
        for child in token.children or ():
            if child.type == "link_open":
                target = self.link(document, str(child.attrGet("href")))
                if target is None:
                    dropped += 1
                    continue
                child.attrSet("href", target)
            elif child.type == "link_close" and dropped:
                dropped -= 1
                continue
            kept.append(child)
        if token.children:
            token.children = kept

    def link(self, document: str, href: str) -> str | None:
        """The address, in the site, of what a document links to; None when it is no page."""
        if re.match(r"[a-z]+:", href) or href.startswith("#"):
            return href
        path, _, anchor = href.partition("#")
        target = posixpath.normpath((PurePosixPath(document).parent / path).as_posix())
        if target not in self.names:
            return None
        start = PurePosixPath(page_path(document)).parent.as_posix()
        return posixpath.relpath(page_path(target), start) + (f"#{anchor}" if anchor else "")


def render(root: Path) -> dict[str, str]:
    """Every file of the site, by its path in it."""
    names = documents(root)
    renderer = Renderer(names)
    pages = {page_path(name): renderer.page(name, (root / name).read_text()) for name in names}
    # Served for an address at any depth, so its own links start at the root of the site.
    not_found = renderer.page("404.md", NOT_FOUND)
    pages["404.html"] = re.sub(r'href="(?!data:|[a-z]+:|/)', 'href="/', not_found)
    pages["style.css"] = (LAYOUT / "style.css").read_text()
    return pages


def pictures(root: Path) -> dict[str, bytes]:
    """The pictures that documents show, by their path in the site, which is that in the project."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.glob("docs/images/*.png")}


def main(arguments: Sequence[str]) -> int:
    check = "--check" in arguments
    wanted = {name: text.encode() for name, text in render(ROOT).items()} | pictures(ROOT)
    there = {path.relative_to(SITE).as_posix() for path in SITE.rglob("*") if path.is_file()}
    changed = [name for name, data in wanted.items() if name not in there or (SITE / name).read_bytes() != data]
    extra = sorted(there - wanted.keys())
    for name in sorted(changed) + extra:
        print(f"out of date: src/weir/demo/site/{name}" if check else f"wrote src/weir/demo/site/{name}")
    if check and (changed or extra):
        print("run: make docs")
        return 1
    if not check:
        for name in changed:
            (SITE / name).parent.mkdir(parents=True, exist_ok=True)
            (SITE / name).write_bytes(wanted[name])
        for name in extra:
            (SITE / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
