"""A path that is forwarded as another one.

What is hard here: a route has taken the request for what its path leads to, and endpoints decode and resolve as well.
So what is taken out is counted in segments as routes count them, however they are encoded, and everything else goes on
as it came; except that dot segments are resolved first, for `/v1` before `/x/../../admin` would be no prefix. The
result begins with exactly one slash: `//name` is a host to many who read it, and so is `/\\name`.
"""

from libc.stdint cimport uint32_t

from weir.plane.phrase cimport PHRASE_SEGMENTS, Slice, dots_of, path_segments, segment_end, slash_at
from weir.plane.text cimport put_bytes


cdef class Retarget:
    """`strips` segments are taken out and `adds` ("/v1", or "") is put before what is left; or `pattern` is filled in:
    texts and numbers of segments of the path, with what follows the first `strips` of them behind it if `rest`.

    ValueError for texts of RETARGET_BYTES or more.
    """

    def __cinit__(self, uint32_t strips, str adds not None="", pattern=None, bint rest=True):
        self.strips = strips
        self.adds = adds.encode()
        self.rest = rest
        self.parts = None
        if pattern is not None:
            self.parts = [part if isinstance(part, int) else part.encode() for part in pattern]
        longer = len(self.adds) + sum([len(part) for part in self.parts or () if isinstance(part, bytes)])
        if longer >= RETARGET_BYTES:
            raise ValueError(f"a path becomes longer by {longer} bytes, {RETARGET_BYTES - 1} are the most")

    cdef uint32_t put(self, const char* p, uint32_t n, char* out) noexcept:
        cdef Slice segments[PHRASE_SEGMENTS]
        cdef bint dotted
        cdef uint32_t count = path_segments(p, n, segments, &dotted)
        cdef uint32_t told = min(count, <uint32_t>PHRASE_SEGMENTS)
        cdef uint32_t number
        cdef char* start = out
        cdef const char* rest = p
        if self.parts is None:
            out = put_bytes(out, <const char*>self.adds, <uint32_t>len(self.adds))
        else:
            for part in self.parts:
                if isinstance(part, bytes):
                    out = put_bytes(out, <const char*><bytes>part, <uint32_t>len(<bytes>part))
                    continue
                number = <uint32_t>part
                if number < told:
                    out = put_bytes(out, segments[number].p, segments[number].n)
        if not self.rest:
            pass
        elif dotted:
            out = retarget_resolved(p, n, self.strips, out)
        else:
            if self.strips:
                if told < self.strips:
                    rest = p + n
                else:
                    rest = segments[self.strips - 1].p + segments[self.strips - 1].n
            out = retarget_rest(rest, <uint32_t>(p + n - rest), out)
        if out == start:
            out = put_bytes(out, b"/", 1)
        return <uint32_t>(out - start)

    def path_of(self, bytes path) -> bytes:
        """For tests: what a path becomes."""
        cdef bytearray out = bytearray(len(path) + RETARGET_BYTES)
        return bytes(out[:self.put(path, <uint32_t>len(path), out)])


cdef char* retarget_rest(const char* p, uint32_t n, char* out) noexcept nogil:
    # p[0:n] begins with a slash, encoded or not, or is nothing.
    cdef uint32_t width = slash_at(p, n)
    if n == 0:
        return out
    while width:
        p += width
        n -= width
        width = slash_at(p, n)
    out = put_bytes(out, b"/", 1)
    return put_bytes(out, p, n)


cdef char* retarget_resolved(const char* p, uint32_t n, uint32_t skip, char* out) noexcept nogil:
    """Writes what is left of p[0:n] without its first `skip` segments, each as it came, and without dot segments."""
    cdef uint32_t end, name, dots, at = 0, count = 0
    cdef bint ends = True       # with a slash
    while at <= n:
        end = segment_end(p, at, n, &name)
        dots = dots_of(p + at, name - at)
        ends = dots != 0 or name == at
        if dots == 2 and count:
            count -= 1
            if count >= skip:
                out -= 1
                while out[0] != c"/":
                    out -= 1
        elif dots == 0 and name > at:
            if count >= skip:
                out = put_bytes(out, b"/", 1)
                out = put_bytes(out, p + at, end - at)
            count += 1
        at = end + (slash_at(p + end, n - end) if end < n else 1)
    if ends:
        out = put_bytes(out, b"/", 1)
    return out
