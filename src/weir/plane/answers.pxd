# Answers that weir gives itself: errors, and the statistics page.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from weir.plane.codes cimport Reason
from weir.plane.workspace cimport Workspace

cdef enum:
    ANSWER_BYTES = 2048         # room that an error answer needs at most

cdef struct AnswerPolicy:
    bint keep                   # the connection goes on
    bint old_client             # HTTP/1.0
    bint head_only              # the request was HEAD: no body
    int64_t retry_after_s       # 0: none
    const char* counter         # as ResponsePolicy.counter
    uint32_t counter_length
    uint64_t counter_value      # of the series, this answer's body not included

cdef uint16_t answer_status(Reason reason) noexcept
# Writes the error answer to out (ANSWER_BYTES); *body_bytes is what it has of body.
cdef uint32_t write_error(
    Workspace workspace, Reason reason, const AnswerPolicy* policy, char* out, uint32_t* body_bytes
) noexcept
# The head of a 200 with a text body of `length` bytes.
cdef uint32_t write_page_head(Workspace workspace, uint64_t length, const AnswerPolicy* policy, char* out) noexcept
