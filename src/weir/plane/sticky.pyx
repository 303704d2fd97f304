"""Sticky sessions by a cookie.

Its value is a keyed digest of cluster and endpoint: it says nothing of an address, cannot be made up, and is the same
on all workers and, with a secret in the configuration, on all instances and after every restart. Without one the key
is drawn with the statistics table: it lasts as long as that does, over reloads and workers that are replaced.
"""

import hmac

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from weir.plane.cookies cimport Span, find_cookie, has_cookie, is_cookie_field, put_other_cookies
from weir.plane.head cimport Field, Head
from weir.plane.pool cimport Pool
from weir.plane.text cimport put_bytes
from weir.plane.upstream cimport UpstreamUser

_SAME_SITE = {"lax": "Lax", "strict": "Strict", "none": "None"}

cdef enum:
    LOOKED_AT = 8           # cookies of the name in one request: a browser sends one for each path it was set for
    DROPPED_HERE = 2        # Field.drop: 1 is somebody else's


cdef class Sticky:
    """The cookie of one cluster; the settings are those of `weir.config.plan.StickyPlan`.

    `seed` is the key if the plan has no secret.
    """

    def __cinit__(self, plan, str cluster not None, bytes seed not None):
        self.plan = plan
        self.cluster = cluster
        self.secret = plan.secret.encode() or seed
        self.name = plan.cookie.encode()
        self.removes = not plan.forward
        self.pools = []

    def __dealloc__(self):
        free(self.marks)

    cdef int rebuild(self, list members) except -1:
        cdef Pool pool
        cdef uint32_t i = 0
        for pool in members:
            if not pool.mark_of_sticky:
                self._sign(pool)
        self.count = 0
        free(self.marks)
        self.marks = <uint64_t*>calloc(len(members) + 1, sizeof(uint64_t))
        if self.marks == NULL:
            raise MemoryError
        self.pools = sorted(members, key=mark_of)
        for pool in self.pools:
            self.marks[i] = pool.mark_of_sticky
            i += 1
        self.count = i
        return 0

    def _sign(self, Pool pool):
        text = f"{self.cluster}\n{pool.name}".encode()
        value = hmac.digest(self.secret, text, "sha256").hex()[:STICKY_MARK_LENGTH]
        plan = self.plan
        line = f"Set-Cookie: {plan.cookie}={value}; Path={plan.path}"
        if plan.max_age_ms:
            line += f"; Max-Age={plan.max_age_ms // 1000}"
        if plan.same_site != "off":
            line += f"; SameSite={_SAME_SITE[plan.same_site]}"
        line += "; Secure" * plan.secure + "; HttpOnly" * plan.http_only + "\r\n"
        if len(line) > STICKY_LINE_MOST:
            raise ValueError(f"a line of {len(line)} bytes sets the cookie, at most {STICKY_LINE_MOST} may")
        # 0 stands for none, and will not come in the life of a universe.
        pool.mark_of_sticky = int(value, 16) or 1
        pool.sticky_line = line.encode()

    cdef void read(self, const char* p, const Head* head, UpstreamUser user) noexcept:
        cdef Span span
        cdef uint32_t nth, i
        cdef uint64_t mark
        cdef char c
        user.bound = 0
        user.strays = False
        for nth in range(<uint32_t>LOOKED_AT):
            if not find_cookie(p, head, self.name, <uint32_t>len(self.name), nth, &span):
                return
            if span.length != STICKY_MARK_LENGTH:
                continue
            mark = 0
            for i in range(<uint32_t>STICKY_MARK_LENGTH):
                c = p[span.at + i]
                if c"0" <= c <= c"9":
                    mark = mark << 4 | <uint64_t>(c - c"0")
                elif c"a" <= c <= c"f":
                    mark = mark << 4 | <uint64_t>(c - c"a" + 10)
                else:
                    break
            else:
                user.bound = mark
                return

    cdef Pool find(self, uint64_t mark):
        cdef uint32_t low = 0
        cdef uint32_t high = self.count
        cdef uint32_t middle
        while low < high:
            middle = (low + high) // 2
            if self.marks[middle] < mark:
                low = middle + 1
            else:
                high = middle
        if low < self.count and self.marks[low] == mark:
            return <Pool>self.pools[low]
        return None

    cdef void drop(self, const char* p, Head* head) noexcept:
        cdef uint32_t i
        cdef Field* field
        for i in range(head.field_count):
            field = &head.fields[i]
            if not field.drop and is_cookie_field(p, field) and has_cookie(
                p, field, self.name, <uint32_t>len(self.name)
            ):
                field.drop = DROPPED_HERE

    cdef uint32_t put_others(self, const char* p, const Head* head, char* out, uint32_t n) noexcept:
        cdef char* end = out + n - 2            # over the empty line
        cdef uint32_t i, length
        for i in range(head.field_count):
            if head.fields[i].drop != DROPPED_HERE:
                continue
            length = put_other_cookies(end + 8, p, &head.fields[i], self.name, <uint32_t>len(self.name))
            if length:
                put_bytes(end, b"Cookie: ", 8)
                end = put_bytes(end + 8 + length, b"\r\n", 2)
        end = put_bytes(end, b"\r\n", 2)
        return <uint32_t>(end - out)

    cdef uint32_t put_line(self, Pool pool, UpstreamUser user, char* out, uint32_t n) noexcept:
        cdef char* end
        if user.strays or pool.mark_of_sticky == user.bound:
            return n
        end = put_bytes(out + n - 2, pool.sticky_line, <uint32_t>len(pool.sticky_line))
        end = put_bytes(end, b"\r\n", 2)
        return <uint32_t>(end - out)


cdef object mark_of(pool):
    return (<Pool>pool).mark_of_sticky
