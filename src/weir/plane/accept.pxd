# Which kind of answer a client would rather have: proactive negotiation by Accept (RFC 9110 section 12.5.1).

from weir.plane.head cimport Head

cpdef enum AnswerKind:
    ANSWER_TEXT = 0         # text/plain or text/html
    ANSWER_JSON = 1         # application/json
    ANSWER_PROBLEM = 2      # application/problem+json (RFC 9457)

# Text unless the client prefers JSON; p is what head's offsets count from.
cdef AnswerKind preferred_answer(const char* p, const Head* head) noexcept nogil
