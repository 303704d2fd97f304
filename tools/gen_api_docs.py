"""Writes the reference of what Python programs use of weir, and puts the examples into the guide.

    python tools/gen_api_docs.py           write the files
    python tools/gen_api_docs.py --check   exit 1, naming them, if any would change

docstrings, stubs         -> docs/api.md
examples/hooks, docs/guide.md -> docs/guide.md

Signatures are read from the source, or from the stub of a compiled module; what they mean is the docstring of the
object itself. What has no docstring is an error.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import weir
from weir.hooks import streams

ROOT = Path(__file__).resolve().parent.parent

OPENING = """\
<!-- Made by tools/gen_api_docs.py from docstrings and stubs; do not edit. -->

# Python API

All that stands here comes with `import weir`. [Hooks](hooks.md) says how functions meet requests, the [guide](guide.md)
shows whole programs, [embedding](embedding.md) how weir runs inside your own.
"""

# What comes first; all other public names follow by their name.
FIRST = ("hook", "Request", "Response", "Headers", "Answer", "startup", "shutdown", "background", "Proxy", "testing")
_LINE = 110

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def reference() -> str:
    names = [name for name in weir.__all__ if not name.startswith("__")]
    names.sort(key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    parts = [OPENING]
    for name in names:
        value = getattr(weir, name)
        parts += _module(value, f"weir.{name}") if inspect.ismodule(value) else [_entry(value, f"weir.{name}", "##")]
    return "\n".join([*parts, *_module(streams, "weir.hooks.streams")])


def _module(module: Any, name: str) -> list[str]:
    """A module that is imported by its own name, with all that is public in it."""
    members = [_entry(getattr(module, each), f"{name}.{each}", "###") for each in _members(module)]
    return [f"## {name}\n\n{_doc(module, name)}\n", *members]


def _members(module: Any) -> list[str]:
    """The public names of a module, its functions first."""
    return sorted(module.__all__, key=lambda name: inspect.isclass(getattr(module, name)))


def _entry(value: Any, name: str, mark: str) -> str:
    source = _Source(value.__module__)
    node = source.find(value.__qualname__)
    if not isinstance(node, ast.ClassDef):
        return f"{mark} {name}\n\n```py\n{source.signature(node, name)}\n```\n\n{_doc(value, name)}\n"
    parts = [f"{mark} {name}\n"]
    made = source.maker(node)
    if made is not None:
        parts.append(f"```py\n{source.signature(made, name, skip_result=True)}\n```\n")
    parts.append(_doc(value, name) + "\n")
    rows, methods = [], []
    for owner, member in source.members(node):
        described = getattr(value, _name_of(member), None)
        if isinstance(member, ast.AnnAssign):
            rows.append(_row(source, member, described))
        elif _is_property(member):
            rows.append(
                f"| `{member.name}` | `{source.text(member.returns)}` | {_told(described, name, member.name)} |"
            )
        else:
            line = " ".join(source.signature(member, member.name).split()).replace("( ", "(").replace(",)", ")")
            methods.append(f"- `{line}`: {_told(described, owner, member.name)}")
    if rows:
        parts.append("\n".join(["| attribute | type | meaning |", "| --- | --- | --- |", *rows, ""]))
    if methods:
        parts.append("\n".join([*methods, ""]))
    return "\n".join(parts)


def _row(source: _Source, member: ast.AnnAssign, described: Any) -> str:
    """An attribute: a property that may be set, or a field whose meaning is the comment beside it."""
    name = _name_of(member)
    told = inspect.isgetsetdescriptor(described) or isinstance(described, property)
    meaning = source.comment(member) or (_told(described, "", name) if told else "")
    return f"| `{name}` | `{source.text(member.annotation)}` | {meaning} |"


def _docstring(value: Any, name: str) -> str:
    """Without the signature that Cython writes above it. ValueError if there is none."""
    text = inspect.getdoc(value) or ""
    first, _, rest = text.partition("\n")
    short = name.rpartition(".")[2]
    if re.match(rf"[\w.]*\b{short}(\(|: )", first):
        text = inspect.cleandoc(rest)
    if not text:
        raise ValueError(f"{name} has no docstring")
    return text


def _doc(value: Any, name: str) -> str:
    text = _docstring(value, name)
    # What is indented is an example.
    return "\n\n".join(_paragraph(part) for part in text.split("\n\n"))


def _paragraph(text: str) -> str:
    if not text.startswith("    "):
        return text
    return "```py\n" + textwrap.dedent(text) + "\n```"


def _told(value: Any, owner: str, name: str) -> str:
    """A docstring in one line, for a table or a list."""
    return " ".join(_docstring(value, f"{owner}.{name}").split())


def _name_of(member: _Function | ast.AnnAssign) -> str:
    if isinstance(member, ast.AnnAssign):
        assert isinstance(member.target, ast.Name)
        return member.target.id
    return member.name


def _is_property(node: _Function) -> bool:
    return any(isinstance(one, ast.Name) and one.id in ("property", "cached_property") for one in node.decorator_list)


class _Source:
    """The text of a module, or of its stub."""

    def __init__(self, module: str) -> None:
        path = ROOT / "src" / Path(*module.split("."))
        found = [path.with_suffix(".pyi"), path.with_suffix(".py"), path / "__init__.py"]
        text = next(one for one in found if one.is_file()).read_text(encoding="utf-8")
        self._lines = text.splitlines()
        self._tree = ast.parse(text)
        # Where a name stands for a few words, the words are shown.
        self._words = {
            node.targets[0].id: node.value
            for node in self._tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _is_literal(node.value)
        }

    def find(self, name: str) -> Any:
        # The last one: those before it are overloads.
        return [node for node in self._tree.body if getattr(node, "name", None) == name][-1]

    def members(self, node: ast.ClassDef) -> Iterator[tuple[str, _Function | ast.AnnAssign]]:
        """What is public of a class, that of its bases in this module first."""
        for base in node.bases:
            if isinstance(base, ast.Name) and any(getattr(one, "name", None) == base.id for one in self._tree.body):
                yield from self.members(self.find(base.id))
        # Of overloads the last one, which is the most general.
        members = {_name_of(one): one for one in node.body if isinstance(one, _Function | ast.AnnAssign)}
        for name, member in members.items():
            if not name.startswith("_"):
                yield node.name, member

    def maker(self, node: ast.ClassDef) -> _Function | None:
        for member in node.body:
            if isinstance(member, ast.FunctionDef) and member.name == "__init__":
                public = not any(one.arg == "made" for one in member.args.args)
                return member if public else None
        return None

    def comment(self, node: ast.AnnAssign) -> str:
        _, _, said = self._lines[(node.end_lineno or node.lineno) - 1].partition("  # ")
        return said

    def text(self, node: ast.expr | None) -> str:
        if node is None:
            return "None"
        return ast.unparse(_Worded(self._words).visit(node)).replace("|", "\\|")

    def signature(self, node: _Function, name: str, *, skip_result: bool = False) -> str:
        arguments = [one for one in self._arguments(node.args) if one not in ("self",)]
        kind = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
        result = "" if skip_result or node.returns is None else f" -> {ast.unparse(node.returns)}"
        line = f"{kind}{name}({', '.join(arguments)}){result}"
        if len(line) <= _LINE:
            return line
        return "\n".join([f"{kind}{name}(", *(f"    {one}," for one in arguments), f"){result}"])

    def _arguments(self, given: ast.arguments) -> Iterator[str]:
        places = [*given.posonlyargs, *given.args]
        defaults = [None] * (len(places) - len(given.defaults)) + list(given.defaults)
        for one, default in zip(places, defaults, strict=True):
            yield self._argument(one, default)
        if given.vararg is not None:
            yield "*" + self._argument(given.vararg, None)
        elif given.kwonlyargs:
            yield "*"
        for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
            yield self._argument(one, default)
        if given.kwarg is not None:
            yield "**" + self._argument(given.kwarg, None)

    def _argument(self, node: ast.arg, default: ast.expr | None) -> str:
        text = node.arg
        if node.annotation is not None:
            text += ": " + ast.unparse(_Worded(self._words).visit(node.annotation))
        if default is not None:
            text += (" = " if node.annotation is not None else "=") + ast.unparse(default)
        return text.replace("'", '"')


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"


class _Worded(ast.NodeTransformer):
    def __init__(self, words: dict[str, ast.expr]) -> None:
        self._words = words

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._words.get(node.id, node)


def guide() -> str:
    """The guide, with the text of each example behind the comment that names it."""
    text = (ROOT / "docs/guide.md").read_text(encoding="utf-8")

    def shown(mark: re.Match[str]) -> str:
        return f"{mark[1]}```py\n{(ROOT / mark[2]).read_text(encoding='utf-8')}```\n"

    return re.sub(r"(<!-- (examples/\S+) -->\n)```py\n.*?^```\n", shown, text, flags=re.DOTALL | re.MULTILINE)


OUTPUTS: dict[str, Callable[[], str]] = {"docs/api.md": reference, "docs/guide.md": guide}


def main(arguments: list[str]) -> int:
    stale = []
    for name, make in OUTPUTS.items():
        path, text = ROOT / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(("out of date: " if "--check" in arguments else "wrote ") + name)
    if stale and "--check" in arguments:
        print("run: python tools/gen_api_docs.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
