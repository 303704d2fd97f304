"""Writes the reference of the configuration from its model.

    python tools/gen_config_docs.py           write the files
    python tools/gen_config_docs.py --check   exit 1, naming them, if any would change

src/weir/config/model.py  -> docs/configuration.md, docs/weir.schema.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from string import Template

from pydantic.fields import FieldInfo

from weir.config.findings import TABLES, table_name
from weir.config.model import Table, kind_of_field, schema
from weir.config.plan import PoolPlan

ROOT = Path(__file__).resolve().parent.parent

OPENING = """\
<!-- Made by tools/gen_config_docs.py from src/weir/config/model.py; do not edit. -->

# Configuration

One [TOML](https://toml.io/en/v1.0.0) file, given with `weir run -c weir.toml`. The least that works:

```toml
[[listener]]
address = ":8080"
to = "127.0.0.1:8081"
```

This is the same as `weir run --listen :8080 --to 127.0.0.1:8081`. With a cluster of several endpoints:

```toml
[[listener]]
address = ":8080"
to = "app"

[[cluster]]
name = "app"
endpoints = ["127.0.0.1:8081", "127.0.0.1:8082"]

[cluster.pool]
idle_timeout = "50s"
```

`[[listener]]`, `[[route]]` and `[[cluster]]` may be there several times. `[cluster.pool]`, `[cluster.queue]` and other
tables of a cluster belong to the `[[cluster]]` above them; `[[listener.rate_limit]]` and `[[listener.fault]]`, which
may be there several times, to the `[[listener]]` above them; `[[route.rate_limit]]`,
`[route.request]`, `[route.response]` and `[route.respond]` to the `[[route]]` above them.
A complete file with comments is in `examples/weir.toml`.

## Checking it

`weir check weir.toml` reads the file as `weir run` does and names everything that is wrong at once, each with its place
and what was probably meant:

```text
weir.toml:12:1: cluster.app.pool.max_idel: unknown key; did you mean "max_idle"?
weir.toml:13:16: cluster.app.pool.idle_timeout: a duration needs its unit, found 50; write "50s" or "50ms"
```

Refused are also what contradicts itself, names that lead nowhere, and keys that would have no effect.

`weir check --schema` prints a JSON Schema, with which editors complete keys and mark mistakes while you type. For Taplo
(Even Better TOML) and Tombi, put its place in the first line of the file:

```toml
#:schema ./weir.schema.json
```

## How values are written

- **Durations** have a unit: `"100ms"`, `"10s"`, `"5m"`, `"1h"`, or several, the largest first: `"1h30m"`. A bare number
  is refused.
- **Sizes** have a unit too: `"512B"`, `"32KiB"` (1024 bytes each), `"64KB"` (1000 bytes each), also with M, G and T.
  A number without quotes is a number of bytes.
- **Ratios** are percent, `"20%"`, or a fraction, `0.2`.
- **Addresses** are `host:port` with a name, an IPv4 address or an IPv6 address in brackets, or `unix:` and the path of
  a Unix socket, which starts with `/`. Names are looked up when they are needed, and do not hold up anything else.
- **`"off"`** switches off whatever can be off, such as a limit. 0 never does.

Defaults give way to what is written: with `max_connections = 10` the pool's `max_idle` is 10, not $max_idle. Only
values that are both written can contradict each other.
"""


def reference() -> str:
    parts = [Template(OPENING).substitute(max_idle=PoolPlan().max_idle)]
    for table, model in TABLES.items():
        if table:
            parts.append(f"\n## {table_name(table).strip('[]')}\n\n`{table_name(table)}`: {_sentence(model)}\n\n")
        else:
            parts.append("\n## Top of the file\n\nThese stand before the first table.\n\n")
        parts.append(rows(table, model))
    return "".join(parts)


def rows(table: tuple[str, ...], model: type[Table]) -> str:
    """The keys of one table as a table of the document; those that are tables have a section of their own."""
    lines = ["| key | value | default | meaning | example |", "| --- | --- | --- | --- | --- |"]
    for key, field in model.model_fields.items():
        if (*table, key) in TABLES:
            continue
        cells = [f"`{key}`", value_text(field), default_text(field), field.description or "", example_text(key, field)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def value_text(field: FieldInfo) -> str:
    kind = kind_of_field(field)
    return kind.text if kind is not None else "array of addresses"


def default_text(field: FieldInfo) -> str:
    kind = kind_of_field(field)
    if kind is None or field.is_required():
        return "must be given"
    return f"`{toml(kind.show(field.default))}`"


def example_text(key: str, field: FieldInfo) -> str:
    return f"`{key} = {toml((field.examples or [''])[0])}`"


def toml(value: object) -> str:
    """A value as TOML: strings, numbers and arrays of them are written as JSON writes them."""
    return json.dumps(value, ensure_ascii=False)


def _sentence(model: type[Table]) -> str:
    text = (model.__doc__ or "").strip()
    return text[0].lower() + text[1:]


def schema_text() -> str:
    return json.dumps(schema(), indent=2) + "\n"


OUTPUTS: dict[str, Callable[[], str]] = {
    "docs/configuration.md": reference,
    "docs/weir.schema.json": schema_text,
}


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
        print("run: python tools/gen_config_docs.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
