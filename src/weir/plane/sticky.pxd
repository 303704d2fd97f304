# A client stays with its endpoint: a cookie that the first answer sets.

from libc.stdint cimport uint32_t, uint64_t

from weir.plane.head cimport Head
from weir.plane.pool cimport Pool
from weir.plane.upstream cimport UpstreamUser

cdef enum:
    STICKY_MARK_LENGTH = 16             # of the cookie's value: hexadecimal digits
    STICKY_LINE_MOST = 1024             # of the line that sets it

cdef class Sticky:
    cdef object plan
    cdef str cluster
    cdef bytes secret
    cdef bytes name
    cdef bint removes                   # the endpoint does not get the cookie
    cdef uint32_t count                 # 0: members have changed, rebuild() is due
    cdef uint64_t* marks                # of all members, sorted
    cdef list pools                     # ... and who they are
    cdef int rebuild(self, list members) except -1
    # Takes down which endpoint the request's cookie names (UpstreamUser.bound).
    cdef void read(self, const char* p, const Head* head, UpstreamUser user) noexcept
    # Whose mark that is; None: nobody's any more.
    cdef Pool find(self, uint64_t mark)
    # Takes the cookie out of the request's head: marks the lines it is in; and, at the end of the composed head
    # out[0:n], puts what else was in them. The new length, at most n and the lines taken out.
    cdef void drop(self, const char* p, Head* head) noexcept
    cdef uint32_t put_others(self, const char* p, const Head* head, char* out, uint32_t n) noexcept
    # Puts the line that sets the cookie at the end of the composed response head out[0:n], if the client needs it.
    cdef uint32_t put_line(self, Pool pool, UpstreamUser user, char* out, uint32_t n) noexcept
