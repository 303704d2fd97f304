"""The project's own rules: layout, direction of imports, generated files, and documents that tell the truth."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tools import gen_config_docs, gen_proto, gen_tables, render_site
from weir.cli.main import group

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "weir"
PLANE = SOURCE / "plane"

MOST_LINES = 500

# The modules of the data plane in reading order: one may use only those before it.
PLANE_ORDER = (
    *("debug", "syscalls", "codes", "columns", "retrywords", "states", "machines", "clock", "timers", "buffer"),
    *("keyed", "counters"),
    *("rule", "gcra"),
    *("text", "scan", "accesslog"),
    *("engine", "selector", "guest", "stream", "pipe"),
    *("templates", "series", "head", "ids", "timing", "framing", "host", "fields", "deadline", "chunked", "accept"),
    *("edits",),
    *("keepalive", "origin", "proxyproto", "trust", "clients", "pace", "parsers"),
    *("filters", "tally", "hooks", "attend", "piecewise", "fault"),
    *("workspace", "fake", "account", "answers", "answer", "admission"),
    *(
        "upstream",
        "roster",
        "peak",
        "outcome",
        "pool",
        "private",
        "ejection",
        "turns",
        "retry",
        "balance",
        "chance",
        "cookies",
        "keys",
        "maglev",
        "choice",
        "sticky",
        "limiter",
        "breaker",
        "cluster",
        "mirrors",
        "conditions",
        "split",
        "router",
        "phrase",
        "retarget",
        "action",
        "options",
        "intake",
        "relay",
        "passage",
        "exchange",
        "bodies",
        "bodied",
        "facts",
        "compose",
        "headers",
        "messages",
        "meeting",
        "hedge",
        "mirror",
        "patience",
        "tunnel",
        "response",
        "hold",
        "attempts",
        "vouch",
        "forward",
        "answering",
        "arrival",
        "downstream",
        "listener",
        "explain",
        "plane",
    ),
)

# Which packages (or modules) of weir each may import, besides itself. Nothing may import the command line.
MAY_IMPORT = {
    "weir.reasons": (),
    "weir.names": (),
    "weir.config.action_plan": (),
    "weir.config.plan": ("weir.config.action_plan",),
    "weir.stats": ("weir.reasons", "weir.config.plan", "weir.plane.columns"),
    "weir.plane": (
        *("weir.reasons", "weir.config.plan", "weir.config.action_plan"),
        *("weir.stats.columns", "weir.stats.ejection", "weir.stats.hooks", "weir.stats.layout", "weir.stats.rules"),
    ),
    "weir.config": (),
    "weir.hooks": (),
    "weir.control": (
        *("weir", "weir.config.plan", "weir.config.address", "weir.config.errors"),
        *("weir.hooks", "weir.plane", "weir.stats", "weir.reasons", "weir.names"),
    ),
    "weir._gen": (),
    "weir.client": ("weir._gen",),
    "weir.admin": (
        *("weir", "weir._gen", "weir.config.plan", "weir.config.address", "weir.config.errors"),
        *("weir.stats", "weir.reasons", "weir.names"),
    ),
    "weir.demo": ("weir.config.plan", "weir.control.errors", "weir.control.sockets"),
    "weir.cli": (
        *("weir", "weir.admin", "weir.config", "weir.control", "weir.demo", "weir.plane", "weir.running", "weir.stats"),
        *("weir.hooks", "weir.reasons"),
    ),
    "weir.__main__": ("weir.cli.main",),
    "weir.running": ("weir.admin", "weir.config", "weir.control", "weir.hooks"),
    "weir.embedding": ("weir.config", "weir.control", "weir.hooks", "weir.plane", "weir.stats"),
    "weir.testing": ("weir.embedding", "weir.stats"),
    "weir.fixtures": ("weir.testing",),
    "weir": (
        *("weir.config.errors", "weir.control.errors", "weir.embedding", "weir.testing", "weir.running"),
        *("weir.hooks", "weir.plane.answer", "weir.plane.headers", "weir.plane.messages", "weir.plane.piecewise"),
    ),
}

DOCUMENTS = render_site.documents(ROOT)


def _files(*suffixes: str) -> list[Path]:
    """Files of the project that people write, with one of some suffixes."""
    folders = ("src", "tests", "tools", "bench", "fuzz", "examples")
    made = {ROOT / name for name in gen_tables.OUTPUTS}
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and path not in made and not {"__pycache__", "_gen"} & set(path.parts)
    )


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> Iterator[str]:
    """Modules of weir that a file imports or cimports: `from a import b` counts as a.b if that is a module."""
    text = path.read_text()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "weir")
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "weir":
                yield from (_target(node.module or "", alias.name) for alias in node.names)
        return
    for match in re.finditer(r"^\s*from (weir[\w.]*) c?import ([\w, ]+)?", text, re.MULTILINE):
        for name in (match[2] or "").split(",") or [""]:
            yield _target(match[1], name.strip())
    yield from re.findall(r"^\s*c?import (weir[\w.]*)", text, re.MULTILINE)


def _target(module: str, name: str) -> str:
    inside = ROOT / "src" / Path(*module.split(".")) / name
    is_module = bool(name) and (inside.is_dir() or any(inside.parent.glob(f"{name}.p*")))
    return f"{module}.{name}" if is_module else module


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _allows(allowed: str, imported: str) -> bool:
    # "weir" is the package itself, its version; else it would stand for everything.
    return imported == "weir" if allowed == "weir" else _within(imported, allowed)


# Modules without a test file of their own, and the file whose tests are theirs: parts of an exchange are tested
# by transcripts of whole exchanges, and small helpers by the tests of what they help.
TESTED_IN = {
    "admin/exposition.py": "admin/test_metrics.py",
    "admin/families.py": "admin/test_metrics.py",
    "admin/store.py": "admin/test_history.py",
    "client/aio.py": "client/test_client.py",
    "client/calls.py": "client/test_client.py",
    "client/errors.py": "client/test_client.py",
    "client/sync.py": "client/test_client.py",
    "stats/names.py": "stats/test_view.py",
    "stats/publish.py": "stats/test_reader.py",
    "cli/actions.py": "config/test_actions.py",
    "config/action_checks.py": "config/test_actions.py",
    "config/action_kinds.py": "config/test_actions.py",
    "config/action_model.py": "config/test_actions.py",
    "config/action_plan.py": "config/test_actions.py",
    "config/phrases.py": "config/test_actions.py",
    "plane/compose.pyx": "plane/test_response.py",
    "plane/facts.pyx": "plane/test_action.py",
    "plane/intake.pyx": "plane/test_explain.py",
    "plane/mirrors.pyx": "plane/test_mirror.py",
    "plane/phrase.pyx": "plane/test_action.py",
    "plane/attend.py": "plane/test_meeting.py",
    "plane/passage.pyx": "plane/test_bodies.py",
    "plane/account.pyx": "plane/test_exchange.py",
    "plane/answer.pyx": "plane/test_messages.py",
    "plane/headers.pyx": "plane/test_messages.py",
    "plane/answering.pyx": "plane/test_answers.py",
    "plane/arrival.pyx": "plane/test_clients.py",
    "plane/clock.pyx": "plane/test_timers.py",
    "plane/machines.py": "plane/test_states.py",
    "plane/fake.pyx": "plane/test_exchange.py",
    "plane/forward.pyx": "plane/test_replay.py",
    "plane/hold.pyx": "plane/test_admission.py",
    "plane/listener.pyx": "plane/test_plane.py",
    "plane/rule.pyx": "plane/test_gcra.py",
    "plane/options.pyx": "plane/test_downstream.py",
    "plane/outcome.pyx": "plane/test_ejection.py",
    "plane/origin.pyx": "plane/test_trust.py",
    "plane/pace.pyx": "plane/test_patience.py",
    "plane/selector.py": "plane/test_engine.py",
    "plane/text.pyx": "plane/test_parsers.py",
    "plane/stream.pyx": "plane/test_plane.py",
    "plane/tunnel.pyx": "plane/test_response.py",
    "plane/upstream.pyx": "plane/test_pool.py",
    "plane/vouch.pyx": "plane/test_trust.py",
    "plane/workspace.pyx": "plane/test_exchange.py",
    "plane/buffer.pyx": "plane/test_relay.py",
    "hooks/life.py": "control/test_life.py",
    "control/child.py": "e2e/test_workers.py",
    "control/expand.py": "e2e/test_names.py",
    "control/crew.py": "control/test_supervisor.py",
    "control/holdings.py": "e2e/test_upgrade.py",
    "control/keeper.py": "e2e/test_admin.py",
    "control/processes.py": "control/test_supervisor.py",
    "control/reloading.py": "e2e/test_reload.py",
    "control/status.py": "control/test_supervisor.py",
    "control/errors.py": "control/test_sockets.py",
    "control/stock.py": "control/test_sockets.py",
    "control/takeover.py": "e2e/test_upgrade.py",
    "control/upgrade.py": "e2e/test_upgrade.py",
    "control/waiting.py": "e2e/test_workers.py",
    "config/admin_kinds.py": "config/test_load.py",
    "config/admin_model.py": "config/test_load.py",
    "config/health_model.py": "config/test_compile.py",
    "plane/roster.pyx": "plane/test_members.py",
    "plane/balance.pyx": "plane/test_choice.py",
    "plane/turns.pyx": "plane/test_choice.py",
    "plane/chance.pyx": "plane/test_choice.py",
    "plane/cookies.pyx": "plane/test_sticky.py",
    "plane/keys.pyx": "plane/test_maglev.py",
    "config/balance_checks.py": "config/test_balance.py",
    "config/balance_kinds.py": "config/test_balance.py",
    "stats/bytemap.py": "stats/test_layout.py",
    "stats/entries.py": "stats/test_layout.py",
    "config/cluster_model.py": "config/test_load.py",
    "config/retry_kinds.py": "config/test_load.py",
    "config/retry_model.py": "config/test_load.py",
    "config/limit_model.py": "config/test_limit_kinds.py",
    "config/listener_model.py": "config/test_load.py",
    "config/overload_model.py": "config/test_overload_kinds.py",
    "config/table.py": "config/test_load.py",
    "config/raw.py": "config/test_contradictions.py",
    "config/destination_checks.py": "config/test_contradictions.py",
    "config/route_checks.py": "config/test_routing.py",
    "config/route_kinds.py": "config/test_routing.py",
    "config/route_model.py": "config/test_routing.py",
    "plane/conditions.pyx": "plane/test_router.py",
    "plane/split.pyx": "plane/test_router.py",
    "config/errors.py": "config/test_load.py",
    "config/findings.py": "config/test_load.py",
    "config/kinds.py": "config/test_load.py",
    "config/model.py": "config/test_load.py",
    "config/process_kinds.py": "config/test_load.py",
    "config/plan.py": "config/test_compile.py",
    "cli/common.py": "cli/test_common.py",
    "reasons.py": "plane/test_downstream.py",
    "stats/columns.py": "stats/test_layout.py",
    "stats/retrywords.py": "plane/test_retry.py",
}


def test_every_module_has_tests() -> None:
    missing = []
    for path in _files(".py", ".pyx"):
        if not path.is_relative_to(SOURCE) or path.name == "__init__.py":
            continue
        place = path.relative_to(SOURCE)
        own = f"{place.parent.as_posix()}/test_{place.stem.strip('_')}.py"
        test = ROOT / "tests" / TESTED_IN.get(place.as_posix(), own)
        if not test.exists():
            missing.append(test.relative_to(ROOT).as_posix())
    assert missing == []


def test_no_file_is_longer_than_it_may_be() -> None:
    sizes = {path: path.read_text().count("\n") for path in _files(".py", ".pyx", ".pxd", ".pyi", ".h", ".sh")}
    assert {path.relative_to(ROOT).as_posix(): n for path, n in sizes.items() if n > MOST_LINES} == {}


def test_the_reading_order_of_the_plane_is_complete() -> None:
    names = {path.stem for path in PLANE.iterdir() if path.suffix in (".py", ".pyx", ".pxd")} - {"__init__"}
    assert sorted(names) == sorted(PLANE_ORDER)


def test_modules_of_the_plane_use_only_those_before_them() -> None:
    wrong = []
    for path in sorted(PLANE.iterdir()):
        if path.suffix not in (".py", ".pyx", ".pxd") or path.stem == "__init__":
            continue
        for module in _imports(path):
            used = module.removeprefix("weir.plane.").partition(".")[0]
            if not _within(module, "weir.plane") or used in ("weir", path.stem):
                continue
            if used not in PLANE_ORDER[: PLANE_ORDER.index(path.stem)]:
                wrong.append(f"{path.name} uses {used}")
    assert wrong == []


def test_packages_import_only_downward() -> None:
    wrong = []
    for path in _files(".py", ".pyx", ".pxd"):
        if not path.is_relative_to(SOURCE):
            continue
        module = _module(path)
        home = next(package for package in MAY_IMPORT if _within(module, package))
        for imported in _imports(path):
            if _within(imported, home) and home not in ("weir", "weir.config.plan", "weir.reasons"):
                continue
            if not any(_allows(allowed, imported) for allowed in MAY_IMPORT[home]):
                wrong.append(f"{module} imports {imported}")
    assert wrong == []


def test_the_plan_imports_only_the_standard_library() -> None:
    modules = set()
    for name in ("plan.py", "action_plan.py"):
        tree = ast.parse((SOURCE / "config" / name).read_text())
        modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules -= {"weir.config.action_plan"}  # a part of it, of which the same is true
    assert {str(name).split(".")[0] for name in modules} <= sys.stdlib_module_names


def test_generated_files_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert gen_tables.main(["--check"]) == 0, capsys.readouterr().out
    assert gen_proto.main(["--check"]) == 0, capsys.readouterr().out
    assert gen_config_docs.main(["--check"]) == 0, capsys.readouterr().out
    assert render_site.main(["--check"]) == 0, capsys.readouterr().out


def _links(document: str) -> Iterator[tuple[str, str]]:
    """Path (relative to the root) and anchor of every link of a document to a file of the project."""
    text = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(), flags=re.DOTALL | re.MULTILINE)
    for href in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", href):
            path, _, anchor = href.partition("#")
            target = (ROOT / document).parent / path if path else ROOT / document
            yield target.resolve().relative_to(ROOT).as_posix(), anchor


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    broken = []
    for path, anchor in _links(document):
        if not (ROOT / path).exists():
            broken.append(path)
        elif anchor:
            headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.MULTILINE)
            if anchor not in {render_site.slug(heading) for heading in headings}:
                broken.append(f"{path}#{anchor}")
    assert broken == []


def test_every_document_is_in_the_index() -> None:
    listed = {path for path, _ in _links("docs/index.md")}
    assert {name for name in DOCUMENTS if name.startswith("docs/")} - listed == {"docs/index.md"}


def _shown_commands(document: str) -> Iterator[list[str]]:
    """The words of every weir command that a document shows, in a code block or as inline code."""
    text = (ROOT / document).read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in lines:
        words = line.partition(" #")[0].split()
        if words and words[0].endswith("weir") and len(words) > 1 and not words[0].startswith("/"):
            yield words[1:]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_shown_commands_and_options_exist(document: str) -> None:
    wrong = []
    with click.Context(group) as context:
        for words in _shown_commands(document):
            command = group if words[0].startswith("-") else group.get_command(context, words[0])
            if isinstance(command, click.Group) and command is not group and len(words) > 1:
                command = command.get_command(context, words[1])
            known = [] if command is None else [o for p in command.get_params(context) for o in p.opts]
            wrong += [] if command is not None else [words]
            wrong += [words for word in words if re.match("--?[a-z]", word) and word.split("=")[0] not in known]
    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_tests_exist(document: str) -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", (ROOT / document).read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_decisions_are_numbered_and_indexed_by_their_titles() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    titles = [page.read_text().partition("\n")[0].removeprefix("# ") for page in pages]
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    indexed = re.findall(
        r"^- \[(\d+\. .*)\]\(decisions/(.*)\)$", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE
    )
    assert indexed == [(title, page.name) for title, page in zip(titles, pages, strict=True)]
    assert [title.partition(".")[0] for title in titles] == [str(n + 1) for n in range(len(pages))]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_shown_make_targets_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE))
    assert shown <= targets


def test_what_make_test_leaves_out_is_said() -> None:
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if "mark." + "slow" in path.read_text()]
    said = (ROOT / "CONTRIBUTING.md").read_text()
    assert files
    assert [path for path in files if f"`{path.parent.name}/{path.name}`" not in said] == []


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)] == []
    names = [re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines]
    assert len(names) == len(set(names))


def test_every_debian_package_is_listed_for_a_known_stage() -> None:
    lines = (ROOT / "debian-packages.txt").read_text().splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    assert {row[0] for row in rows} == {"build", "test", "bench", "fuzz", "links"}
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", row[1]) for row in rows)
