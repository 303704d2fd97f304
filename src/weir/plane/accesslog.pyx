"""The access log's lines.

What is hard here is that nearly every word of a line was chosen by somebody who may wish to forge one. A line is made
of pieces; each piece of foreign text is cut to a bound and escaped byte by byte, so that no quote, line end or
terminal control sequence gets through. Room for the worst case is made sure of before the first byte is written.

JSON lines are ASCII: a byte of foreign text that is not printable ASCII, or is a quote or a backslash, is written as
\\u00HH, so that taking the characters as ISO 8859-1 gives the bytes back. What is not known is null in JSON, "-"
elsewhere.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, strlen
from libc.time cimport gmtime_r, time_t, tm

from weir.plane.codes cimport REASON_COUNT, Reason
from weir.plane.text cimport put_ms

from weir.reasons import REASONS

cdef enum:
    # What is kept of one piece of foreign text; as the default limit of a request target. The short one is for
    # what cannot be long if it is genuine: an address, a method, a host.
    LONG_TEXT = 8192
    SHORT_TEXT = 512
    # Bytes that one byte takes at most: \u00HH in JSON, \xHH elsewhere.
    EXPANSION = 6
    # All of a line but the foreign text: names of keys, numbers (20 digits at most), time stamp, reason.
    FRAME = 1024
    WAKE_AT = 65536
    WORD_BYTES = 32
    TRACE_ID_BYTES = 32
    SPAN_ID_BYTES = 16

cdef int FORMAT_OFF = -1
cdef dict FORMATS = {
    "combined": LOG_COMBINED, "common": LOG_COMMON, "json": LOG_JSON, "short": LOG_SHORT,
    "ledger": LOG_LEDGER, "off": FORMAT_OFF,
}
cdef const char* MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"
cdef const char* PART_NAMES = b',"TR":,"Tw":,"Tc":,"Tr":,"Td":'
cdef const char* HEX = b"0123456789ABCDEF"

# 1 for the bytes that need an escape: nginx's rule, which holds for JSON too but for the form of the escape.
cdef uint8_t[256] UNSAFE
cdef char[100][2] TWO_DIGITS
cdef char[REASON_COUNT][WORD_BYTES] REASON_WORDS
cdef uint8_t[REASON_COUNT] REASON_LENGTHS


cdef int fill_tables() except -1:
    cdef int i
    for i in range(256):
        UNSAFE[i] = i < 0x20 or i > 0x7E or i == 0x22 or i == 0x5C
    for i in range(100):
        TWO_DIGITS[i][0] = 48 + i // 10
        TWO_DIGITS[i][1] = 48 + i % 10
    if len(REASONS) != REASON_COUNT:
        raise RuntimeError("weir.reasons and the compiled plane are of different versions")
    for i in range(REASON_COUNT):
        word = REASONS[i].word.encode("ascii")
        if len(word) > WORD_BYTES:
            raise RuntimeError(f"a reason's word is longer than {WORD_BYTES} bytes: {REASONS[i].word}")
        REASON_LENGTHS[i] = <uint8_t>len(word)
        memcpy(REASON_WORDS[i], <const char*>word, REASON_LENGTHS[i])
    return 0


fill_tables()


cdef class AccessLog:
    """Lines of one worker, in a batch of at most `size` bytes.

    `format` is "combined", "common", "json", "short", "ledger" or "off"; ValueError for another one. `lines` and
    `dropped` only grow. A line that might not fit into what is left of the batch is dropped, and counted in `dropped`.
    """

    def __cinit__(self, str format, size):
        if format not in FORMATS:
            raise ValueError(f"no such log format: {format}")
        if not 0 < size <= 0x7FFFFFFF:
            raise ValueError(f"the size of a batch must be 1 to {0x7FFFFFFF} bytes: {size}")
        self._format = FORMATS[format]
        self.enabled = self._format != FORMAT_OFF
        self._size = size if self.enabled else 0
        self._wake_at = WAKE_AT if self._size > 2 * WAKE_AT else self._size // 2
        self._stamp_s = -1
        if self.enabled:
            # Pages that no line has reached are not there: the kernel gives them on the first write.
            self._batch = <char*>malloc(self._size)
            if self._batch == NULL:
                raise MemoryError

    def __dealloc__(self):
        free(self._batch)

    def take(self) -> bytes:
        """Hands over the lines since the last time and begins a new batch."""
        taken = self._batch[:self._used] if self._used else b""
        self._used = 0
        self.wanted = False
        return taken

    cdef void add(self, const LogRecord* record, int64_t wall_s) noexcept:
        cdef char* out
        if not self.enabled:
            return
        if line_bound(record) > self._size - self._used:
            self.dropped += 1
            self.wanted = True
            return
        if wall_s != self._stamp_s:
            self._stamp_length = write_stamp(self._stamp, sizeof(self._stamp), wall_s, self._format)
            self._stamp_s = wall_s
        out = self._batch + self._used
        if self._format == LOG_JSON:
            out = write_json(out, record, self._stamp, self._stamp_length)
        elif self._format == LOG_SHORT:
            out = write_short(out, record)
        else:
            out = write_common(out, record, self._stamp, self._stamp_length, self._format)
        self._used = <uint32_t>(out - self._batch)
        self.lines += 1
        if self._used >= self._wake_at:
            self.wanted = True

    def add_for_test(self, *, wall_s: int = 0, repeat: int = 1, client: bytes = b"", method: bytes = b"",
                     target: bytes = b"", path: bytes = b"", version_minor: int = 1, has_head: bool = True,
                     status: int = 0, reason: int = 0, response_body_bytes: int = 0, request_body_bytes: int = 0,
                     host: bytes = b"", referer: bytes = b"", user_agent: bytes = b"", endpoint: bytes = b"",
                     total_us: int = 0, first_byte_us: int = -1, parts_us: tuple = (0, 0, 0, 0, 0), retries: int = 0,
                     id: bytes = b"", trace: bytes = b"") -> None:
        """Adds one line `repeat` times; the arguments are LogRecord's fields (`trace`: its three ids in a row)."""
        cdef int64_t _i
        cdef int64_t turns = repeat
        cdef int64_t now = wall_s
        cdef LogRecord record
        record.client, record.client_length = <const char*>client, <uint32_t>len(client)
        record.method, record.method_length = <const char*>method, <uint32_t>len(method)
        record.target, record.target_length = <const char*>target, <uint32_t>len(target)
        record.path, record.path_length = <const char*>path, <uint32_t>len(path)
        record.host, record.host_length = <const char*>host, <uint32_t>len(host)
        record.referer, record.referer_length = <const char*>referer, <uint32_t>len(referer)
        record.user_agent, record.user_agent_length = <const char*>user_agent, <uint32_t>len(user_agent)
        record.endpoint, record.endpoint_length = <const char*>endpoint, <uint32_t>len(endpoint)
        record.id, record.id_length = <const char*>id, <uint32_t>len(id)
        record.trace_id = record.span_id = record.parent_id = NULL
        if trace:
            record.trace_id, record.span_id, record.parent_id = trace, <const char*>trace + 32, <const char*>trace + 48
        for _i in range(LEDGER_PARTS):
            record.parts_us[_i] = parts_us[_i]
        record.version_minor = version_minor
        record.has_head = has_head
        record.status = status
        record.reason = <Reason><int>reason
        record.response_body_bytes = response_body_bytes
        record.request_body_bytes = request_body_bytes
        record.total_us = total_us
        record.first_byte_us = first_byte_us
        record.retries = retries
        for _i in range(turns):
            self.add(&record, now)


# -- lines ------------------------------------------------------------------------------------------------


cdef char* write_common(
    char* out, const LogRecord* record, const char* stamp, uint32_t n, int format
) noexcept nogil:
    # As nginx and Apache write it: host ident user [time] "request" status bytes ["referer" "user agent"].
    out = put_text(out, record.client, record.client_length, SHORT_TEXT, False)
    out = put(out, b" - - [", 6)
    out = put(out, stamp, n)
    out = put(out, b'] "', 3)
    if record.has_head:
        out = put_text(out, record.method, record.method_length, SHORT_TEXT, False)
        out = put(out, b" ", 1)
        out = put_text(out, record.target, record.target_length, LONG_TEXT, False)
        out = put(out, b" HTTP/1.", 8)
        out = put_number(out, record.version_minor)
    else:
        out = put(out, b"-", 1)
    out = put(out, b'" ', 2)
    out = put_status(out, record.status)
    out = put(out, b" ", 1)
    out = put_number(out, record.response_body_bytes)
    if format == LOG_COMBINED:
        out = put(out, b' "', 2)
        out = put_text(out, record.referer, record.referer_length, LONG_TEXT, False)
        out = put(out, b'" "', 3)
        out = put_text(out, record.user_agent, record.user_agent_length, LONG_TEXT, False)
        out = put(out, b'"', 1)
    elif format == LOG_LEDGER:
        out = put_ledger(out, record)
    return put(out, b"\n", 1)


cdef char* put_ledger(char* out, const LogRecord* record) noexcept nogil:
    # Behind a line of the common format: HAProxy's TR/Tw/Tc/Tr/Ta, reason, endpoint, request id, trace id.
    cdef int part
    out = put(out, b" ", 1)
    for part in range(<int>L_DATA):
        out = put_ms(out, record.parts_us[part])
        out = put(out, b"/", 1)
    out = put_ms(out, record.total_us)
    out = put(out, b" ", 1)
    out = put_reason(out, record.reason)
    out = put(out, b" ", 1)
    out = put_text(out, record.endpoint, record.endpoint_length, SHORT_TEXT, False)
    out = put(out, b" ", 1)
    out = put_text(out, record.id, record.id_length, SHORT_TEXT, False)
    out = put(out, b" ", 1)
    return put_text(out, record.trace_id, TRACE_ID_BYTES if record.trace_id != NULL else 0, SHORT_TEXT, False)


cdef char* write_short(char* out, const LogRecord* record) noexcept nogil:
    if record.has_head and record.path_length:
        out = put_text(out, record.path, record.path_length, LONG_TEXT, False)
    elif record.has_head:
        out = put_text(out, record.target, record.target_length, LONG_TEXT, False)
    else:
        out = put(out, b"-", 1)
    out = put(out, b": ", 2)
    out = put_status(out, record.status)
    return put(out, b"\n", 1)


cdef char* write_json(char* out, const LogRecord* record, const char* stamp, uint32_t n) noexcept nogil:
    cdef int part
    out = put(out, b'{"time":"', 9)
    out = put(out, stamp, n)
    out = put(out, b'","client":', 11)
    out = put_json(out, record.client, record.client_length, SHORT_TEXT)
    out = put(out, b',"method":', 10)
    out = put_json(out, record.method, record.method_length, SHORT_TEXT)
    out = put(out, b',"target":', 10)
    out = put_json(out, record.target, record.target_length, LONG_TEXT)
    out = put(out, b',"version":', 11)
    if record.has_head:
        out = put(out, b'"HTTP/1.', 8)
        out = put_number(out, record.version_minor)
        out = put(out, b'"', 1)
    else:
        out = put(out, b"null", 4)
    out = put(out, b',"host":', 8)
    out = put_json(out, record.host, record.host_length, SHORT_TEXT)
    out = put(out, b',"status":', 10)
    if record.status:
        out = put_number(out, record.status)
    else:
        out = put(out, b"null", 4)
    out = put(out, b',"reason":"', 11)
    out = put_reason(out, record.reason)
    out = put(out, b'","request_body_bytes":', 23)
    out = put_number(out, record.request_body_bytes)
    out = put(out, b',"response_body_bytes":', 23)
    out = put_number(out, record.response_body_bytes)
    out = put(out, b',"total_ms":', 12)
    out = put_ms(out, record.total_us)
    out = put(out, b',"first_byte_ms":', 17)
    if record.first_byte_us < 0:
        out = put(out, b"null", 4)
    else:
        out = put_ms(out, record.first_byte_us)
    for part in range(LEDGER_PARTS):
        out = put(out, PART_NAMES + 6 * part, 6)
        out = put_ms(out, record.parts_us[part])
    out = put(out, b',"Ta":', 6)
    out = put_ms(out, record.total_us)
    out = put(out, b',"endpoint":', 12)
    out = put_json(out, record.endpoint, record.endpoint_length, SHORT_TEXT)
    out = put(out, b',"retries":', 11)
    out = put_number(out, record.retries)
    out = put(out, b',"request_id":', 14)
    out = put_json(out, record.id, record.id_length, SHORT_TEXT)
    out = put(out, b',"trace_id":', 12)
    out = put_json(out, record.trace_id, TRACE_ID_BYTES if record.trace_id != NULL else 0, SHORT_TEXT)
    out = put(out, b',"span_id":', 11)
    out = put_json(out, record.span_id, SPAN_ID_BYTES if record.span_id != NULL else 0, SHORT_TEXT)
    out = put(out, b',"parent_id":', 13)
    out = put_json(out, record.parent_id, SPAN_ID_BYTES if record.parent_id != NULL else 0, SHORT_TEXT)
    out = put(out, b',"user_agent":', 14)
    out = put_json(out, record.user_agent, record.user_agent_length, LONG_TEXT)
    out = put(out, b',"referer":', 11)
    out = put_json(out, record.referer, record.referer_length, LONG_TEXT)
    return put(out, b"}\n", 2)


cdef uint32_t write_stamp(char* out, size_t size, int64_t wall_s, int format) noexcept nogil:
    # UTC always: a log with a clock that jumps twice a year is of no use beside another one. Not strftime, whose
    # names of months depend on the locale.
    cdef tm parts
    cdef time_t when = <time_t>wall_s
    if gmtime_r(&when, &parts) == NULL:
        when = 0
        gmtime_r(&when, &parts)
    if format == LOG_JSON:
        snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02dZ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                 parts.tm_hour, parts.tm_min, parts.tm_sec)
    else:
        snprintf(out, size, "%02d/%.3s/%04d:%02d:%02d:%02d +0000", parts.tm_mday, MONTHS + 3 * parts.tm_mon,
                 parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec)
    return <uint32_t>strlen(out)


# -- pieces: each writes at `out` and returns the place after it ------------------------------------------


cdef inline uint64_t cut(uint32_t length, uint32_t bound) noexcept nogil:
    return length if length < bound else bound


cdef inline uint64_t line_bound(const LogRecord* record) noexcept nogil:
    # What a line takes at most, whatever its format. `path` is a part of the target, or stands in its place.
    cdef uint64_t text = cut(record.client_length, SHORT_TEXT) + cut(record.method_length, SHORT_TEXT)
    text += cut(record.target_length, LONG_TEXT) + cut(record.path_length, LONG_TEXT)
    text += cut(record.host_length, SHORT_TEXT) + cut(record.endpoint_length, SHORT_TEXT)
    text += cut(record.id_length, SHORT_TEXT) + TRACE_ID_BYTES + 2 * SPAN_ID_BYTES
    text += cut(record.referer_length, LONG_TEXT) + cut(record.user_agent_length, LONG_TEXT)
    return FRAME + EXPANSION * text


cdef inline char* put(char* out, const char* text, size_t n) noexcept nogil:
    memcpy(out, text, n)
    return out + n


cdef inline char* put_text(char* out, const char* text, uint32_t length, uint32_t bound, bint json) noexcept nogil:
    # Foreign text, cut and escaped; nothing is said as "-".
    cdef uint32_t n = <uint32_t>cut(length, bound)
    cdef uint32_t at = 0
    cdef uint32_t start
    cdef uint8_t byte
    if n == 0:
        return put(out, b"-", 1)
    while True:
        start = at
        while at < n and not UNSAFE[<uint8_t>text[at]]:
            at += 1
        memcpy(out, text + start, at - start)
        out += at - start
        if at == n:
            return out
        byte = <uint8_t>text[at]
        at += 1
        out = put(out, b"\\u00" if json else b"\\x", 4 if json else 2)
        out[0] = HEX[byte >> 4]
        out[1] = HEX[byte & 15]
        out += 2


cdef inline char* put_json(char* out, const char* text, uint32_t length, uint32_t bound) noexcept nogil:
    if length == 0:
        return put(out, b"null", 4)
    out = put(out, b'"', 1)
    out = put_text(out, text, length, bound, True)
    return put(out, b'"', 1)


cdef inline char* put_number(char* out, uint64_t n) noexcept nogil:
    cdef char[20] digits
    cdef int at = 20
    while n >= 100:
        at -= 2
        memcpy(digits + at, TWO_DIGITS[n % 100], 2)
        n //= 100
    if n >= 10:
        at -= 2
        memcpy(digits + at, TWO_DIGITS[n], 2)
    else:
        at -= 1
        digits[at] = <char>(48 + n)
    return put(out, digits + at, 20 - at)


cdef inline char* put_reason(char* out, Reason reason) noexcept nogil:
    if 0 <= <int>reason < REASON_COUNT:
        out = put(out, REASON_WORDS[<int>reason], REASON_LENGTHS[<int>reason])
    return out


cdef inline char* put_status(char* out, uint16_t status) noexcept nogil:
    return put_number(out, status) if status else put(out, b"-", 1)
