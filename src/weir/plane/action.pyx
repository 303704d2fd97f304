"""What a route does beside sending requests on: heads that are edited, paths that are rewritten, answers of its own.

Everything that is the same for all requests is made once, when the plane is. What is left is filled in where the head
is written, without an object of Python's.
"""

from http import HTTPStatus

from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from weir.plane.edits cimport mark_named
from weir.plane.head cimport Head
from weir.plane.phrase cimport PHRASE_TOO_LONG, Facts, Phrase
from weir.plane.retarget cimport Retarget
from weir.plane.text cimport put_bytes


cdef class Lines:
    """`drops` are names of fields; `added` are names with what they say (`weir.config.action_plan.Phrase`)."""

    def __cinit__(self, drops, added):
        cdef Phrase phrase
        constant = []
        self.drops = tuple([name.lower().encode() for name in drops])
        self.added = []
        for name, pieces in added:
            phrase = Phrase(pieces)
            start = name.encode() + b": "
            if phrase.constant:
                constant.append(start + phrase.text + b"\r\n")
            else:
                self.added.append((start, phrase))
                self.wants_head = self.wants_head or phrase.wants_head
        self.constant = b"".join(constant)
        self.varies = bool(self.added)

    cdef void mark(self, const char* p, Head* head) noexcept:
        cdef bytes name
        for name in self.drops:
            mark_named(p, head, <const char*>name, <uint32_t>len(name))

    cdef uint32_t put(self, const Facts* facts, char* out) noexcept:
        cdef uint32_t n = <uint32_t>len(self.constant)
        cdef uint32_t begin, length
        cdef tuple line
        if n > LINES_MOST:
            return PHRASE_TOO_LONG
        memcpy(out, <const char*>self.constant, n)
        for line in self.added:
            begin = n
            length = <uint32_t>len(<bytes>line[0])
            if length + 2 > LINES_MOST - n:
                return PHRASE_TOO_LONG
            memcpy(out + n, <const char*><bytes>line[0], length)
            n += length
            length = (<Phrase>line[1]).put(facts, out + n, LINES_MOST - n - 2)
            if length == PHRASE_TOO_LONG:
                return PHRASE_TOO_LONG
            while length and (out[n + length - 1] == c" " or out[n + length - 1] == c"\t"):
                length -= 1
            # What says nothing is not said: `{cookie:id}` of a request without that cookie.
            n = <uint32_t>(put_bytes(out + n + length, b"\r\n", 2) - out) if length else begin
        return n

    cdef uint32_t append(self, const Facts* facts, char* out, uint32_t n) noexcept:
        cdef uint32_t length = self.put(facts, out + n - 2)
        if length == PHRASE_TOO_LONG:
            return 0
        n += length
        out[n - 2] = c"\r"
        out[n - 1] = c"\n"
        return n


cdef class Action:
    """`plan` is a `weir.config.action_plan.ActionPlan`."""

    def __cinit__(self, plan):
        if plan.request_drops or plan.request_lines:
            self.request = Lines(plan.request_drops, plan.request_lines)
        if plan.response_drops or plan.response_lines:
            self.response = Lines(plan.response_drops, plan.response_lines)
        if plan.rewrite:
            pattern = [what for _, what in plan.rewrite]
            self.retarget = Retarget(plan.strip_segments, "", pattern, plan.rewrite_rest)
        elif plan.strip_segments or plan.add_prefix:
            self.retarget = Retarget(plan.strip_segments, plan.add_prefix)
        self.host = plan.host.encode()
        if plan.status:
            self.status = plan.status
            self.begin = action_status_line(plan.status)
            if plan.content_type:
                self.begin += b"Content-Type: " + plan.content_type.encode() + b"\r\n"
            self.location = Phrase(plan.location) if plan.location else None
            self.body = Phrase(plan.body)


def action_status_line(int status):
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()
