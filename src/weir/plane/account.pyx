"""What a finished exchange leaves behind: counters and a line of the access log."""

from libc.stdint cimport uint32_t, uint64_t

from weir.plane.accesslog cimport LEDGER_PARTS, LogRecord
from weir.plane.codes cimport R_NONE
from weir.plane.columns cimport (
    K_ERRORS,
    K_FIRST_BYTE_US,
    K_FIRST_BYTES,
    K_REQUEST_BODY_BYTES,
    K_REQUEST_HEAD_US,
    K_REQUESTS,
    K_RESPONSE_BODY_BYTES,
    K_RETRIES,
    K_STATUS_1XX,
    K_TOTAL_US,
    ROW_REASONS,
)
from weir.plane.workspace cimport Workspace


cdef void account(Workspace workspace, uint32_t row, const LogRecord* record) noexcept:
    cdef uint64_t* counters = workspace.counters.row(row)
    cdef int part
    counters[K_REQUESTS] += 1
    counters[K_RESPONSE_BODY_BYTES] += record.response_body_bytes
    counters[K_REQUEST_BODY_BYTES] += record.request_body_bytes
    if 100 <= record.status < 600:
        counters[K_STATUS_1XX + record.status // 100 - 1] += 1
    if record.reason != R_NONE:
        counters[K_ERRORS] += 1
        counters[ROW_REASONS + <int>record.reason] += 1
        workspace.reasons[<int>record.reason] += 1
    counters[K_RETRIES] += record.retries
    counters[K_TOTAL_US] += record.total_us
    for part in range(LEDGER_PARTS):
        counters[K_REQUEST_HEAD_US + part] += record.parts_us[part]
        workspace.counters.observe_part(record.route, part, record.parts_us[part])
    workspace.counters.observe(row, 0, record.total_us)
    if record.first_byte_us >= 0:
        counters[K_FIRST_BYTE_US] += record.first_byte_us
        counters[K_FIRST_BYTES] += 1
        workspace.counters.observe(row, 1, record.first_byte_us)
    if workspace.log.enabled:
        workspace.log.add(record, workspace.clock.wall_s())
        if workspace.log.wanted and workspace.on_log_wanted is not None:
            workspace.on_log_wanted()
