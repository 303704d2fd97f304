"""Figures of many series at a moment, column by column: what is sorted, subtracted, added and packed.

`weir.stats.reader` says the same in plain Python, series by series; this is for the admin side, which looks at
thousands of them several times a second. A frame is a copy: the table goes on counting.

Only series that have counted something are in a frame. Each has a key, in a frame from the table its row's number; the
keys ascend. Frames of the same keys can be subtracted and added. A frame never changes.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport exp2
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

import struct
import time

from weir.stats import layout
from weir.stats.columns import COUNTERS
from weir.stats.reader import BUCKETS_USED as READER_BUCKETS

from weir.plane.columns cimport (
    K_ERRORS, K_REQUESTS, REASON_PLACES, ROW_BUCKETS, ROW_COUNTERS, ROW_HISTOGRAMS, ROW_REASONS,
)

cdef enum:
    USED = 216                          # buckets of a histogram
    NAMED = ROW_REASONS                 # places of counters in front of the reasons
    REASONS_AT = NAMED
    HISTOGRAMS_AT = NAMED + REASON_PLACES
    # u64 numbers of one series: counters, reasons, histograms.
    WIDTH = HISTOGRAMS_AT + ROW_HISTOGRAMS * USED
    # A packed number takes at most so many bytes.
    LONGEST = 10

assert READER_BUCKETS == USED

cdef double QUANTILE_STEP = 8.0         # buckets in an octave
_MAGIC = b"weirfrm1"
_PREFIX = struct.Struct("<8sqqqI")


cdef class Frame:
    """Made by take(), unpack(), empty() and by a frame's own methods.

    `taken_us` is when it was taken (microseconds since 1970), `since_us` from when on it counts, `table` what tells
    one table from another: (created_us, seed, seed). `len()` is the number of series.
    """

    def __cinit__(self):
        self.keys_at = NULL
        self.numbers = NULL
        self.count = 0

    def __dealloc__(self):
        free(self.keys_at)
        free(self.numbers)

    def __len__(self) -> int:
        return self.count

    def __reduce__(self):
        return unpack, (self.pack(),)

    @property
    def keys(self) -> list[int]:
        """The keys, ascending."""
        return [self.keys_at[i] for i in range(self.count)]

    def index(self, key: int) -> int:
        """Where a key's series is, or -1."""
        return find_key(self, <uint64_t>key)

    def column(self, place: int) -> list[int]:
        """One counter (a place of `weir.stats.columns.COUNTERS`) of all series. IndexError if there is none such."""
        if not 0 <= place < NAMED:
            raise IndexError(f"counter {place} of {NAMED}")
        cdef uint32_t at = place
        return [self.numbers[<uint64_t>i * WIDTH + at] for i in range(self.count)]

    def counters(self, index: int) -> list[int]:
        """The counters of a series, in the order of `weir.stats.columns.COUNTERS`. IndexError if there is none."""
        cdef uint64_t* own = self._series(index)
        return [own[i] for i in range(<int>len(COUNTERS))]

    def reasons(self, index: int) -> list[int]:
        """How often each reason (`weir.reasons.Reason`) ended an exchange of a series; 64 numbers."""
        cdef uint64_t* own = self._series(index) + REASONS_AT
        return [own[i] for i in range(REASON_PLACES)]

    def histogram(self, index: int, which: int) -> list[int]:
        """The 216 buckets of a series' total time (0) or time to the first byte (1)."""
        cdef uint64_t* own = self._series(index) + HISTOGRAMS_AT + self._histogram(which)
        return [own[i] for i in range(USED)]

    def quantiles(self, which: int, share: float) -> list[float]:
        """For each series the time in us within which that share (0 to 1) of its exchanges ended; 0.0 if none did.

        It is the middle, on the scale of logarithms, of the bucket that holds the exchange of that rank (nearest-rank
        definition): within 2^(1/16) - 1 = 4.43 % of the true one. The histogram is as in histogram().
        """
        cdef uint64_t at = HISTOGRAMS_AT + self._histogram(which)
        if not 0 <= share <= 1:
            raise ValueError(f"a share is 0 to 1, not {share}")
        return [quantile(self.numbers + <uint64_t>i * WIDTH + at, share) for i in range(self.count)]

    def minus(self, Frame older not None) -> Frame:
        """What was counted after `older` was taken; series in which nothing changed are left out.

        ValueError if the frames are of two tables. A number that went back (it cannot in one table) counts as 0.
        """
        self._check_same(older)
        cdef Frame made = blank(self.count)
        cdef uint32_t i, j = 0
        cdef uint64_t* to
        cdef uint64_t* new
        cdef uint64_t* old
        for i in range(self.count):
            while j < older.count and older.keys_at[j] < self.keys_at[i]:
                j += 1
            new = self.numbers + <uint64_t>i * WIDTH
            to = made.numbers + <uint64_t>made.count * WIDTH
            if j < older.count and older.keys_at[j] == self.keys_at[i]:
                old = older.numbers + <uint64_t>j * WIDTH
                # All of it: an exchange may have been half counted when the older one was taken.
                if memcmp(old, new, WIDTH * sizeof(uint64_t)) == 0:
                    continue
                subtract(to, new, old)
            else:
                memcpy(to, new, WIDTH * sizeof(uint64_t))
            made.keys_at[made.count] = self.keys_at[i]
            made.count += 1
        made.table, made.since_us, made.taken_us = self.table, older.taken_us, self.taken_us
        return made

    def plus(self, Frame other not None) -> Frame:
        """Both together, of the whole time that they span. ValueError if they are of two tables."""
        self._check_same(other)
        cdef Frame made = blank(self.count + other.count)
        cdef uint32_t i = 0, j = 0
        cdef uint64_t* to
        while i < self.count or j < other.count:
            to = made.numbers + <uint64_t>made.count * WIDTH
            if j == other.count or (i < self.count and self.keys_at[i] < other.keys_at[j]):
                made.keys_at[made.count] = self.keys_at[i]
                memcpy(to, self.numbers + <uint64_t>i * WIDTH, WIDTH * sizeof(uint64_t))
                i += 1
            elif i == self.count or other.keys_at[j] < self.keys_at[i]:
                made.keys_at[made.count] = other.keys_at[j]
                memcpy(to, other.numbers + <uint64_t>j * WIDTH, WIDTH * sizeof(uint64_t))
                j += 1
            else:
                made.keys_at[made.count] = self.keys_at[i]
                memcpy(to, self.numbers + <uint64_t>i * WIDTH, WIDTH * sizeof(uint64_t))
                add(to, other.numbers + <uint64_t>j * WIDTH)
                i += 1
                j += 1
            made.count += 1
        made.table = self.table
        made.since_us = min(self.since_us, other.since_us)
        made.taken_us = max(self.taken_us, other.taken_us)
        return made

    def select(self, indices) -> Frame:
        """Some of its series, by index, each once. IndexError if there is none such."""
        chosen = sorted(set(indices))
        cdef Frame made = blank(<uint32_t>len(chosen))
        for index in chosen:
            memcpy(made.numbers + <uint64_t>made.count * WIDTH, self._series(index), WIDTH * sizeof(uint64_t))
            made.keys_at[made.count] = self.keys_at[<uint32_t>index]
            made.count += 1
        made.table, made.since_us, made.taken_us = self.table, self.since_us, self.taken_us
        return made

    def total(self, indices=None) -> Frame:
        """One series, with key 0: the sum of some series, by index, or of all."""
        cdef Frame made = blank(1)
        memset(made.numbers, 0, WIDTH * sizeof(uint64_t))
        made.keys_at[0] = 0
        made.count = 1
        for index in range(self.count) if indices is None else indices:
            add(made.numbers, self._series(index))
        made.table, made.since_us, made.taken_us = self.table, self.since_us, self.taken_us
        return made

    def rekey(self, keys, table) -> Frame:
        """The same series with other keys (one for each, in its order) and the identity of another table.

        Two series that get the same key are added up.
        """
        if len(keys) != self.count:
            raise ValueError(f"{len(keys)} keys for {self.count} series")
        cdef Frame made = blank(self.count)
        cdef uint64_t* to
        for key, index in sorted(zip(keys, range(self.count), strict=True)):
            to = made.numbers + <uint64_t>made.count * WIDTH
            if made.count and made.keys_at[made.count - 1] == <uint64_t>key:
                add(to - WIDTH, self._series(index))
                continue
            memcpy(to, self._series(index), WIDTH * sizeof(uint64_t))
            made.keys_at[made.count] = key
            made.count += 1
        made.table, made.since_us, made.taken_us = tuple(table), self.since_us, self.taken_us
        return made

    def spanning(self, since_us: int, taken_us: int) -> Frame:
        """The same numbers, said to be of another time."""
        cdef Frame made = self.select(range(self.count))
        made.since_us, made.taken_us = since_us, taken_us
        return made

    def pack(self) -> bytes:
        """All of it as bytes, for unpack(): some hundred bytes for each series."""
        parts = [_PREFIX.pack(_MAGIC, self.since_us, self.taken_us, self.table[0], self.count)]
        parts.append(struct.pack("<QQ", self.table[1], self.table[2]))
        cdef uint32_t i
        for i in range(self.count):
            own = self.pack_series(i)
            parts.append(struct.pack("<QI", self.keys_at[i], len(own)))
            parts.append(own)
        return b"".join(parts)

    def pack_series(self, index: int) -> bytes:
        """The numbers of one series: pairs of how many zeros stand before and the number, each a variable-length one.

        LEB128, as protobuf's varints. `unpack_series` reads it.
        """
        cdef uint64_t* own = self._series(index)
        cdef uint8_t* scratch = <uint8_t*>malloc(WIDTH * 2 * LONGEST)
        if scratch == NULL:
            raise MemoryError("a packed series")
        cdef uint32_t used = 0, zeros = 0
        cdef int place
        for place in range(WIDTH):
            if own[place] == 0:
                zeros += 1
                continue
            used = put_number(scratch, used, zeros)
            used = put_number(scratch, used, own[place])
            zeros = 0
        try:
            return PyBytes_FromStringAndSize(<char*>scratch, used)
        finally:
            free(scratch)

    cdef uint64_t* _series(self, index) except NULL:
        if not 0 <= index < self.count:
            raise IndexError(f"series {index} of {self.count}")
        return self.numbers + <uint64_t>index * WIDTH

    cdef uint64_t _histogram(self, which) except? 77:
        if not 0 <= which < ROW_HISTOGRAMS:
            raise IndexError(f"histogram {which} of {ROW_HISTOGRAMS}")
        return <uint64_t>which * USED

    cdef int _check_same(self, Frame other) except -1:
        if self.table != other.table:
            raise ValueError("the frames are of two different tables")
        return 0


def take(memory) -> Frame:
    """A frame of all that has been counted in a statistics table (`weir.stats.layout.Table`, or a buffer with one).

    Nobody is stopped. Each number is read in one piece and never goes back from one frame to the next; two numbers may
    differ by the exchanges that ended in between. `weir.stats.layout.LayoutError` if there is no table.
    """
    header = layout.read_header(memory)
    cdef const uint8_t[::1] view = memoryview(memory).cast("B")
    cdef uint32_t workers = header.workers
    cdef uint32_t rows = header.rows_taken
    cdef const uint8_t* block = &view[0] + <uint64_t>header.places.workers_at
    cdef uint64_t counters_at = header.places.counters_at
    cdef uint64_t histograms_at = header.places.histograms_at
    cdef uint64_t step = header.places.worker_bytes
    cdef uint32_t spare_from = header.routes_named
    cdef uint32_t routes = header.routes
    cdef Frame made = empty((header.created_us, *header.seeds))
    cdef uint32_t room = 0
    cdef uint32_t row, worker
    cdef bint used
    made.since_us, made.taken_us = header.created_us, time.time_ns() // 1000
    for row in range(rows):
        if spare_from <= row < routes:
            continue
        used = False
        for worker in range(workers):
            if (<const uint64_t*>(block + worker * step + counters_at) + <uint64_t>row * ROW_COUNTERS)[K_REQUESTS]:
                used = True
                break
        if not used:
            continue
        if made.count == room:
            room = 2 * room + 64 if 2 * room + 64 < rows else rows
            grow(made, room)
        made.keys_at[made.count] = row
        memset(made.numbers + <uint64_t>made.count * WIDTH, 0, WIDTH * sizeof(uint64_t))
        for worker in range(workers):
            add_row(
                made.numbers + <uint64_t>made.count * WIDTH,
                <const uint64_t*>(block + worker * step + counters_at) + <uint64_t>row * ROW_COUNTERS,
                <const uint32_t*>(block + worker * step + histograms_at) + <uint64_t>row * ROW_HISTOGRAMS * ROW_BUCKETS,
            )
        made.count += 1
    return made


def empty(table=(0, 0, 0)) -> Frame:
    """A frame without series."""
    cdef Frame made = blank(0)
    made.table = tuple(table)
    return made


def unpack(data: bytes) -> Frame:
    """A frame from what pack() made. ValueError if it is anything else."""
    try:
        magic, since_us, taken_us, created_us, count = _PREFIX.unpack_from(data)
        at = _PREFIX.size
        seeds = struct.unpack_from("<QQ", data, at)
        at += 16
    except struct.error:
        raise ValueError("no packed frame: it is too short") from None
    if magic != _MAGIC:
        raise ValueError("no packed frame, or one of another version")
    # Each series takes 12 bytes at least: a claim of more is not believed, and no memory taken for it.
    if count > (len(data) - at) // 12:
        raise ValueError("a packed frame that is cut off")
    series = []
    for _ in range(count):
        if at + 12 > len(data):
            raise ValueError("a packed frame that is cut off")
        key, length = struct.unpack_from("<QI", data, at)
        at += 12
        if at + length > len(data):
            raise ValueError("a packed frame that is cut off")
        series.append((key, data[at : at + length]))
        at += length
    return from_series(series, (created_us, *seeds), since_us, taken_us)


def from_series(series, table, since_us: int, taken_us: int) -> Frame:
    """A frame of pairs of key and what pack_series() made, in any order; those of the same key are added up.

    ValueError for bytes that pack_series() cannot have made.
    """
    cdef Frame made = blank(0)
    cdef uint32_t room = 0
    cdef dict places = {}
    for key, data in series:
        place = places.get(key)
        if place is None:
            if made.count == room:
                room = 2 * room + 16
                grow(made, room)
            place = places[key] = made.count
            made.keys_at[made.count] = key
            memset(made.numbers + <uint64_t>made.count * WIDTH, 0, WIDTH * sizeof(uint64_t))
            made.count += 1
        read_series(made.numbers + <uint64_t>place * WIDTH, data)
    made.table, made.since_us, made.taken_us = tuple(table), since_us, taken_us
    keys = list(places)
    return made if all([keys[i] < keys[i + 1] for i in range(len(keys) - 1)]) else made.rekey(keys, made.table)


def quantile_of(counts, share: float) -> float:
    """As Frame.quantiles(), of one histogram given as a sequence of 216 counts."""
    if len(counts) != USED:
        raise ValueError(f"a histogram has {USED} buckets, not {len(counts)}")
    if not 0 <= share <= 1:
        raise ValueError(f"a share is 0 to 1, not {share}")
    cdef uint64_t[USED] own
    cdef int i
    for i in range(USED):
        own[i] = counts[i]
    return quantile(own, share)


cdef Frame blank(uint32_t room):
    cdef Frame made = Frame.__new__(Frame)
    made.table = (0, 0, 0)
    grow(made, room)
    return made


cdef int grow(Frame frame, uint32_t room) except -1:
    # At least one place, so that NULL always means that there was no memory.
    cdef void* keys = realloc(frame.keys_at, (<size_t>room + 1) * sizeof(uint64_t))
    if keys == NULL:
        raise MemoryError("a frame's keys")
    frame.keys_at = <uint64_t*>keys
    cdef void* numbers = realloc(frame.numbers, (<size_t>room * WIDTH + 1) * sizeof(uint64_t))
    if numbers == NULL:
        raise MemoryError("a frame's numbers")
    frame.numbers = <uint64_t*>numbers
    return 0


cdef int64_t find_key(Frame frame, uint64_t key) noexcept:
    cdef uint32_t low = 0, high = frame.count, middle
    while low < high:
        middle = (low + high) // 2
        if frame.keys_at[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low if low < frame.count and frame.keys_at[low] == key else -1


cdef void add_row(uint64_t* to, const uint64_t* counters, const uint32_t* histograms) noexcept nogil:
    # counters[0:ROW_COUNTERS] and histograms[0:ROW_HISTOGRAMS * ROW_BUCKETS] of one worker.
    cdef int i, which
    cdef const uint32_t* own
    if counters[K_REQUESTS] == 0:
        return
    for i in range(NAMED):
        to[i] += counters[i]
    if counters[K_ERRORS]:
        for i in range(REASON_PLACES):
            to[REASONS_AT + i] += counters[ROW_REASONS + i]
    for which in range(ROW_HISTOGRAMS):
        own = histograms + which * ROW_BUCKETS
        for i in range(USED):
            to[HISTOGRAMS_AT + which * USED + i] += own[i]


cdef void add(uint64_t* to, const uint64_t* other) noexcept nogil:
    cdef int i
    for i in range(WIDTH):
        to[i] += other[i]


cdef void subtract(uint64_t* to, const uint64_t* new, const uint64_t* old) noexcept nogil:
    cdef int i
    for i in range(WIDTH):
        to[i] = new[i] - old[i] if new[i] > old[i] else 0


cdef double quantile(const uint64_t* buckets, double share) noexcept nogil:
    cdef uint64_t count = 0, seen = 0, rank
    cdef int i
    for i in range(USED):
        count += buckets[i]
    if count == 0:
        return 0.0
    rank = <uint64_t>(share * <double>count)
    if <double>rank < share * <double>count or rank == 0:
        rank += 1
    if rank > count:
        rank = count
    for i in range(USED):
        seen += buckets[i]
        if seen >= rank:
            break
    return exp2((i + 0.5) / QUANTILE_STEP)


cdef uint32_t put_number(uint8_t* p, uint32_t at, uint64_t number) noexcept nogil:
    while number >= 0x80:
        p[at] = <uint8_t>(number | 0x80)
        number >>= 7
        at += 1
    p[at] = <uint8_t>number
    return at + 1


cdef int read_series(uint64_t* to, bytes data) except -1:
    # Adds to to[0:WIDTH].
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef uint64_t n = len(data), at = 0, place = 0
    cdef uint64_t[2] pair
    cdef int which, shift
    while at < n:
        for which in range(2):
            pair[which] = 0
            shift = 0
            while True:
                if at == n or shift > 63:
                    raise ValueError("a packed series that is cut off or malformed")
                pair[which] |= <uint64_t>(p[at] & 0x7F) << shift
                at += 1
                if not p[at - 1] & 0x80:
                    break
                shift += 7
        if pair[0] >= WIDTH - place:
            raise ValueError("a packed series with more numbers than a series has")
        place += pair[0]
        to[place] += pair[1]
        place += 1
    return 0
