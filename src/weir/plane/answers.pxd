# Answers that weir gives itself: errors, and the statistics page.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from weir.plane.accept cimport AnswerKind
from weir.plane.codes cimport Reason
from weir.plane.ids cimport Identity
from weir.plane.workspace cimport Workspace

cdef enum:
    ANSWER_HEAD_BYTES = 2048    # room that the head of an answer needs at most
    OWN_LINES_BYTES = 65536     # of an answer that a hook or a rule gives
    ANSWER_BODY_BYTES = 131072  # and its body

cdef struct AnswerPolicy:
    bint keep                   # the connection goes on
    bint old_client             # HTTP/1.0
    bint head_only              # the request was HEAD: no body
    int64_t retry_after_s       # 0: none
    const char* counter         # as ResponsePolicy.counter
    uint32_t counter_length
    uint64_t counter_value      # of the series, this answer's body not included
    AnswerKind kind
    const Identity* identity    # of the request that is answered: its id is said
    const int64_t* parts_us     # as ResponsePolicy.parts_us
    uint16_t variant            # of the answer, as ErrorPages.variant has it; 0: none

# What error answers look like: weir's own texts, or pages of a person's own.
cdef class ErrorPages:
    cdef list _answers          # by AnswerKind, by reason: (media type, [bytes that the id goes between])
    cdef dict _own
    cdef list _variants         # (status, status line, [answer by AnswerKind])

    # The number of the answer for a reason with another status than its own; 0: it is its own.
    # ValueError for a status that is none.
    cdef uint16_t variant(self, Reason reason, uint16_t status) except? 0
    cdef uint16_t status_of(self, Reason reason, uint16_t variant) noexcept

cdef uint16_t answer_status(Reason reason) noexcept
# Writes the error answer to out (ANSWER_HEAD_BYTES + ANSWER_BODY_BYTES); *body_bytes is what it has of body.
cdef uint32_t write_error(
    Workspace workspace, ErrorPages pages, Reason reason, const AnswerPolicy* policy, char* out, uint32_t* body_bytes
) noexcept
# The head of an answer whose status line and fields are `lines` (OWN_LINES_BYTES at most), with a body of `length`
# bytes; `bare`: its status has none, and no length is said.
cdef uint32_t write_own_head(
    Workspace workspace, bytes lines, uint64_t length, bint bare, const AnswerPolicy* policy, char* out
) noexcept
# The same, where out[0:n] has those lines already.
cdef uint32_t finish_own_head(
    Workspace workspace, uint32_t n, uint64_t length, bint bare, const AnswerPolicy* policy, char* out
) noexcept
# The head of a 200 with a text body of `length` bytes.
cdef uint32_t write_page_head(Workspace workspace, uint64_t length, const AnswerPolicy* policy, char* out) noexcept
