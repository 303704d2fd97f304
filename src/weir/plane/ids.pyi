from enum import IntEnum

class IdPolicy(IntEnum):
    ID_PASS = 0
    ID_KEEP = 1
    ID_REPLACE = 2

class TracePolicy(IntEnum):
    TRACE_PASS = 0
    TRACE_JOIN = 1
    TRACE_RESTART = 2
