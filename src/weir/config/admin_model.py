"""Tables of the configuration that are about the admin side."""

from __future__ import annotations

from typing import Annotated

from weir.config import admin_kinds, kinds, process_kinds
from weir.config.plan import AddressPlan, AdminPlan, HistoryPlan, OtlpPlan
from weir.config.table import Table, setting

__all__ = ["Admin", "History", "Otlp"]


class History(Table):
    """What was counted, minute by minute."""

    path: Annotated[str, process_kinds.absolute_file("a file", "/var/lib/weir/history.db")] = setting(
        HistoryPlan,
        "path",
        "The file that keeps it, so that figures survive a restart. `off`: only in memory.",
        example="/var/lib/weir/history.db",
    )
    flush: Annotated[int, kinds.duration("1s", "5m")] = setting(
        HistoryPlan, "flush_ms", "How often it is written: what a KILL may lose.", example="30s"
    )
    minutes_for: Annotated[int, kinds.duration("1h", "8760h")] = setting(
        HistoryPlan, "minutes_for_ms", "Records of minutes older than this are folded into hours.", example="24h"
    )
    max_age: Annotated[int, kinds.duration("1h", "87600h")] = setting(
        HistoryPlan, "max_age_ms", "Records older than this are removed.", example="720h"
    )
    max_size: Annotated[int, kinds.size("1MiB", "64GiB")] = setting(
        HistoryPlan, "max_bytes", "Size of the file. Beyond it the oldest records are removed.", example="1GiB"
    )


class Otlp(Table):
    """Export of the metrics over OTLP/HTTP, to a collector of OpenTelemetry's."""

    endpoint: Annotated[str, admin_kinds.collector_url()] = setting(
        OtlpPlan, "endpoint", "The collector. Without a path it is `/v1/metrics`.", example="http://127.0.0.1:4318"
    )
    headers: Annotated[tuple[tuple[str, str], ...], admin_kinds.fields()] = setting(
        OtlpPlan, "headers", "Fields to send along, for collectors that want a key.", example={"X-Key": "..."}
    )
    interval: Annotated[int, kinds.duration("1s", "1h")] = setting(
        OtlpPlan, "interval_ms", "How often metrics are sent.", example="60s"
    )
    timeout: Annotated[int, kinds.duration("100ms", "1m")] = setting(
        OtlpPlan, "timeout_ms", "How long the collector may take to answer.", example="5s"
    )


class Admin(Table):
    """The admin process: metrics, remote calls, and the live page."""

    address: Annotated[AddressPlan | None, kinds.admin_address()] = setting(
        AdminPlan,
        "address",
        "Where it answers: an address of this machine's own loopback, `unix:` and a path, or, with a token, any other. "
        "When it is left out and somebody else has that port, weir goes on without.",
        example="unix:/run/weir-admin.sock",
    )
    token: Annotated[str, admin_kinds.token()] = setting(
        AdminPlan,
        "token",
        "What every request must bring: `Authorization: Bearer` and this token.",
        example="3q2-7wAAAABhbGxvd2Vk",
    )
    token_file: Annotated[str, admin_kinds.token_file()] = setting(
        AdminPlan, "token", "The file that has the token in its first line.", example="/etc/weir/token"
    )
