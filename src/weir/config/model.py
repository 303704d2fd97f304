"""The configuration as a person writes it: one immutable model, every key with its meaning, default and bounds.

Only the supervisor and the command line import this: it needs pydantic, which a worker does not. Values are already
read when they are here: durations are milliseconds, sizes are bytes, addresses are AddressPlan, and 0 stands for
``"off"`` (or ``"auto"``), as in the plan. Defaults are those of `weir.config.plan`, stated once and there.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from pydantic.fields import FieldInfo

from weir.config import balance_kinds, kinds, process_kinds
from weir.config.action_model import RequestEdits, Respond, ResponseEdits
from weir.config.admin_model import Admin, History, Otlp
from weir.config.cluster_model import Cluster, Pool, Sticky
from weir.config.health_model import Ejection, Health
from weir.config.limit_model import Fault, RateLimit
from weir.config.listener_model import Listener
from weir.config.overload_model import Breaker, Limit, Queue
from weir.config.plan import LogPlan, Plan, StatsPlan
from weir.config.retry_model import Hedge, Retry
from weir.config.route_model import Route
from weir.config.table import Table, setting

__all__ = [
    "Admin",
    "Breaker",
    "Cluster",
    "Config",
    "Ejection",
    "Fault",
    "Health",
    "Hedge",
    "History",
    "Limit",
    "Listener",
    "Log",
    "Otlp",
    "Pool",
    "Queue",
    "RateLimit",
    "RequestEdits",
    "Respond",
    "ResponseEdits",
    "Retry",
    "Route",
    "Stats",
    "Sticky",
    "Table",
    "kind_of_field",
    "schema",
]


class Log(Table):
    """The access log: a line for each request."""

    access: Annotated[str, kinds.access_log()] = setting(
        LogPlan,
        "access",
        "Where the access log goes. The path of a file is taken from the directory weir was started in; the file is "
        "opened anew on the signal USR1.",
        example="/var/log/weir/access.log",
    )
    format: Annotated[str, kinds.choice("combined", "common", "json", "short", "ledger")] = setting(
        LogPlan,
        "format",
        "What a line looks like: `combined` and `common` as Apache and nginx write them, `json` one object a line, "
        "`short` only path and status, `ledger` as `common` and then where the time went, reason, endpoint and ids "
        "([access log](access-log.md)).",
        example="json",
    )
    flush: Annotated[int, kinds.duration("10ms", "1m")] = setting(
        LogPlan, "flush_ms", "A line is written at most this much after its request ended.", example="1s"
    )
    buffer: Annotated[int, kinds.size("64KiB", "64MiB")] = setting(
        LogPlan,
        "buffer_bytes",
        "Lines that wait for a slow disk or pipe, per worker. Lines beyond it are dropped and counted.",
        example="32MiB",
    )


class Stats(Table):
    """Counting what passes."""

    rows: Annotated[int, kinds.count(16, 65_536)] = setting(
        StatsPlan,
        "rows",
        "Paths that are counted by themselves, and one row for each listener. All further paths of a listener are "
        "counted together in its row, as `(other)`.",
        example=16_384,
    )
    header: Annotated[str, kinds.field_name()] = setting(
        StatsPlan,
        "header",
        'The response field with all body bytes sent for this path so far. `""` is the same as `"off"`.',
        example="X-Bytes",
    )
    page: Annotated[str, kinds.page_path()] = setting(
        StatsPlan,
        "page",
        "Requests for this path are answered with a plain-text table of what was counted, on every listener, and "
        'are not passed on. `""` is the same as `"off"`.',
        example="/stats",
    )
    paths: Annotated[str, kinds.choice("template", "exact")] = setting(
        StatsPlan,
        "paths",
        "`template`: paths that differ only in identifiers are counted together, `/users/17` as `/users/{id}`. "
        "`exact`: each path by itself. See [statistics](statistics.md#series).",
        example="exact",
    )
    openapi: Annotated[tuple[str, ...], kinds.openapi()] = setting(
        StatsPlan,
        "openapi",
        "Files that describe the API: OpenAPI 3 or Swagger 2, as YAML or JSON. Paths that match one of their templates "
        "are counted under it, `/users/{userId}`. The path of a file is taken from the directory weir was started in.",
        example="openapi.yaml",
    )


class Config(Table):
    """weir, an HTTP/1.1 reverse proxy: the configuration file."""

    drain_timeout: Annotated[int, kinds.duration("10ms", "24h")] = setting(
        Plan,
        "drain_timeout_ms",
        "On TERM, INT and HUP, what is in flight may take so long to end. Then it is cut off.",
        example="10s",
    )
    workers: Annotated[int, kinds.count(1, 256, none="auto")] = setting(
        Plan,
        "workers",
        "Processes that serve. `auto`: one for each processor that weir may use.",
        example=4,
    )
    single_process: Annotated[bool, kinds.flag()] = setting(
        Plan,
        "single_process",
        "Serve in the process that was started, without a supervisor: nothing is restarted, and HUP is not known.",
        example=True,
    )
    heartbeat_timeout: Annotated[int, kinds.duration("2s", "1h")] = setting(
        Plan,
        "heartbeat_timeout_ms",
        "A worker that gives no sign of life for so long is replaced.",
        example="30s",
    )
    user: Annotated[str, process_kinds.user()] = setting(
        Plan,
        "user",
        "Whom the workers and the admin process run as, by name or number. weir must be started by root for it, and "
        "its supervisor stays root ([operation](operation.md#whom-it-runs-as)).",
        example="nobody",
    )
    group: Annotated[str, process_kinds.group()] = setting(
        Plan, "group", "The group that goes with `user`. `off`: the user's own.", example="daemon"
    )
    pid_file: Annotated[str, process_kinds.absolute_file("a file", "/run/weir.pid")] = setting(
        Plan,
        "pid_file",
        "A file with the number of the process that signals are sent to. It is locked while weir runs and removed at "
        "its end.",
        example="/run/weir.pid",
    )
    upgrade_program: Annotated[str, process_kinds.absolute_file("a program", "/opt/weir/bin/weir")] = setting(
        Plan,
        "upgrade_program",
        "The `weir` that takes over on the signal USR2. `off`: the one that was started, which may be another version "
        "by now ([operation](operation.md#a-new-version-of-weir)).",
        example="/opt/weir-2/bin/weir",
    )
    hooks: Annotated[str, process_kinds.hooks()] = setting(
        Plan,
        "hooks",
        "A file, or a module, of Python functions that requests meet: [hooks](hooks.md). The path of a file, and where "
        "a module is looked for, is taken from the directory weir was started in.",
        example="package.module",
    )
    hook_block_after: Annotated[int, kinds.duration("10ms", "1m", none=True)] = setting(
        Plan,
        "hook_block_after_ms",
        "A hook that blocks its worker for so long is named in the log, with its stack "
        "([hooks](hooks.md#what-blocks-a-worker)).",
        example="1s",
    )
    zone: Annotated[str, balance_kinds.zone()] = Field(
        default="",
        description="Where this weir runs. Endpoints of the same `zone` are preferred, see "
        "[balancing](balancing.md#priorities-and-zones).",
        examples=["eu-1a"],
    )
    log: Log = Field(default_factory=Log, description="The access log.")
    stats: Stats = Field(default_factory=Stats, description="Counting what passes.")
    history: History = Field(default_factory=History, description="What was counted, minute by minute.")
    otlp: Otlp = Field(default_factory=Otlp, description="Export of the metrics.")
    admin: Admin = Field(default_factory=Admin, description="The admin process.")
    listener: Annotated[tuple[Listener, ...], Field(strict=False)] = Field(
        description="Addresses that clients connect to.", json_schema_extra={"minItems": 1}
    )
    route: Annotated[tuple[Route, ...], Field(strict=False)] = Field(default=(), description="Which requests go where.")
    cluster: Annotated[tuple[Cluster, ...], Field(strict=False)] = Field(
        default=(), description="Named groups of endpoints."
    )


# Tables within the file's own.
MODELS = (
    *(Admin, Cluster, Ejection, Fault, Health, History, Listener, Log, Otlp, Pool, Queue, RateLimit, Retry, Stats),
    *(Breaker, Hedge, Limit, RequestEdits, Respond, ResponseEdits, Route, Sticky),
)


def kind_of_field(field: FieldInfo) -> kinds.Kind | None:
    """How the values of a field are read and shown; None for tables and arrays."""
    return next((entry for entry in field.metadata if isinstance(entry, kinds.Kind)), None)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the configuration file, for editors and linters."""
    made = Config.model_json_schema()
    tables: dict[str, type[Table]] = {model.__name__: model for model in MODELS}
    for name, model in tables.items():
        _finish(made["$defs"][name], model)
    _finish(made, Config)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "weir.toml"}


def _finish(made: dict[str, Any], model: type[Table]) -> None:
    """Put defaults as they are written in the file, and drop titles that only repeat the key."""
    for key, field in model.model_fields.items():
        entry = made["properties"][key]
        entry.pop("title", None)
        kind = kind_of_field(field)
        if kind is not None and not field.is_required():
            entry["default"] = kind.show(field.default)
