# One finished exchange goes into the statistics table and the access log: the only place that counts.

from libc.stdint cimport uint32_t

from weir.plane.accesslog cimport LogRecord
from weir.plane.workspace cimport Workspace

cdef void account(Workspace workspace, uint32_t row, const LogRecord* record) noexcept
