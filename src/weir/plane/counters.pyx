"""The shared statistics table, as one worker uses it.

What is hard here is the claim of a row while other processes look for the same path. A row is written while nobody
can know it; then one compare-and-swap puts its number into the index, and that publishes it. Who loses the race finds
the winner's row in the very entry that it wanted, and keeps its own row, unpublished, for its next new path. Entries
are never taken back, so a search that meets an empty entry has seen all there is.

The row that a worker holds unpublished is noted in the worker's header, in the shared memory: the successor of a
worker that was killed goes on with it. A kill between taking a row from the common stock and noting it costs that row.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy
from posix.unistd cimport getpid

from weir.plane.columns cimport ROUTE_PARTS, ROW_BUCKETS, ROW_COUNTERS, ROW_HISTOGRAMS, SKETCH_BITS
from weir.plane.keyed cimport weir_hash

import time

from weir.stats import layout

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>

    /* The byte map: src/weir/stats/layout.py. */
    typedef struct {
        char magic[8];
        uint32_t version, header_bytes;
        uint64_t total_bytes, created_us;
        uint32_t rows, routes, workers, counters, histograms, buckets, index_entries, path_bytes;
        uint64_t routes_at, directory_at, index_at, workers_at, worker_bytes, counters_at, histograms_at;
        uint64_t seed_0, seed_1;
        uint32_t endpoints, parts, sketch_bytes, endpoint_figures;
        uint64_t endpoints_at, parts_at, sketches_at, endpoint_figures_at;
        uint8_t spare[8];
        uint32_t rows_taken;
    } weir_table_header;

    typedef struct {
        uint32_t kind, route;
        uint64_t hash;
        uint32_t path_length;
        uint8_t spare[36];
        char path[200];
    } weir_table_row;

    typedef struct {
        uint32_t pid, spare_row;
        uint64_t started_us, heartbeat_us, rows_claimed, claims_lost, exchanges_full, exchanges_crowded;
        uint8_t spare[456];
        uint64_t reasons[64];
    } weir_table_worker;

    _Static_assert(offsetof(weir_table_header, routes_at) == 64, "header");
    _Static_assert(offsetof(weir_table_header, endpoint_figures_at) == 176, "header");
    _Static_assert(offsetof(weir_table_header, rows_taken) == 192, "header");
    _Static_assert(offsetof(weir_table_row, path) == 56 && sizeof(weir_table_row) == 256, "directory");
    _Static_assert(offsetof(weir_table_worker, exchanges_crowded) == 48, "worker");
    _Static_assert(offsetof(weir_table_worker, reasons) == 512, "worker");

    static inline int weir_zeros(uint64_t v) { return __builtin_clzll(v); }
    static inline uint64_t weir_load64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
    static inline uint64_t weir_load64_acquire(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline uint32_t weir_load32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
    /* Publishes what was written before; on failure *seen is what lies there, with all that it points to. */
    static inline int weir_publish(uint64_t *p, uint64_t *seen, uint64_t value) {
        return __atomic_compare_exchange_n(p, seen, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    static inline int weir_swap32(uint32_t *p, uint32_t *seen, uint32_t value) {
        return __atomic_compare_exchange_n(p, seen, value, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }

    /* floor(2^(63 + k/8)), k = 0 to 7: where the eighths of an octave end, for a value shifted to the left. */
    static const uint64_t weir_eighths[8] = {
        0x8000000000000000ULL, 0x8B95C1E3EA8BD6E6ULL, 0x9837F0518DB8A96FULL, 0xA5FED6A9B15138EAULL,
        0xB504F333F9DE6484ULL, 0xC5672A115506DADDULL, 0xD744FCCAD69D6AF4ULL, 0xEAC0C6E7DD24392EULL,
    };
    /* i such that 2^(i/8) < us <= 2^((i+1)/8), us >= 2. The bounds of k > 0 are irrational, so that comparing with
       their integer parts is exact. */
    static inline uint32_t weir_bucket(uint64_t us) {
        int zeros = __builtin_clzll(us);
        uint64_t v = us << zeros;
        uint32_t k = v > weir_eighths[4] ? 4 : 0;
        k += v > weir_eighths[k + 2] ? 2 : 0;
        k += v > weir_eighths[k + 1] ? 1 : 0;
        /* A power of two itself ends the last eighth of the octave below. */
        return 8 * (63 - zeros) + k - (v == weir_eighths[0]);
    }
    """
    ctypedef struct TableHeader "weir_table_header":
        uint32_t rows
        uint32_t routes
        uint32_t workers
        uint32_t index_entries
        uint64_t directory_at
        uint64_t index_at
        uint64_t workers_at
        uint64_t worker_bytes
        uint64_t counters_at
        uint64_t histograms_at
        uint64_t seed_0
        uint64_t seed_1
        uint64_t parts_at
        uint64_t sketches_at
        uint32_t rows_taken
    ctypedef struct TableRow "weir_table_row":
        uint32_t kind
        uint32_t route
        uint64_t hash
        uint32_t path_length
        char path[200]
    ctypedef struct TableWorker "weir_table_worker":
        uint32_t pid
        uint32_t spare_row
        uint64_t started_us
        uint64_t rows_claimed
        uint64_t claims_lost
        uint64_t exchanges_full
        uint64_t exchanges_crowded
        uint64_t reasons[64]
    int weir_zeros(uint64_t v) noexcept nogil
    uint64_t weir_load64(const uint64_t* p) noexcept nogil
    uint64_t weir_load64_acquire(const uint64_t* p) noexcept nogil
    uint32_t weir_load32(const uint32_t* p) noexcept nogil
    bint weir_publish(uint64_t* p, uint64_t* seen, uint64_t value) noexcept nogil
    bint weir_swap32(uint32_t* p, uint32_t* seen, uint32_t value) noexcept nogil
    uint32_t weir_bucket(uint64_t us) noexcept nogil

cdef enum:
    PATH_BYTES = 200
    KIND_SERIES = 2
    ROW_BITS = 24
    ROW_MASK = (1 << ROW_BITS) - 1
    # The index is at most a quarter full: a run this long does not come about by itself.
    PROBES = 64
    # Schema 3 from 1 us to 2^27 us = 134 s; what is longer lies in the last one.
    BUCKETS_USED = 216

cdef uint64_t LONGEST_US = 1 << (BUCKETS_USED // 8)


cdef class Counters:
    """Worker number `worker`'s hand on a table made by `weir.stats.layout.create()`.

    Whoever had this number before has left its columns and its spare row: they are gone on with, and nothing counted
    is lost. `weir.stats.layout.LayoutError` if `memory` is no table; ValueError if it has no such worker.
    """

    def __cinit__(self, memory, uint32_t worker):
        cdef TableWorker* own
        header = layout.read_header(memory)
        if worker >= <uint32_t>header.workers:
            raise ValueError(f"worker {worker} of {header.workers}")
        # The view forbids that the mapping is closed or resized under us.
        self._view = memoryview(memory).cast("B")
        if self._view.readonly:
            raise ValueError("the table is mapped for reading only")
        self._memory = memory
        self._base = view_address(self._view)
        self.rows = header.rows
        self.routes = header.routes
        self.workers = header.workers
        self.worker = worker
        own = own_header(self._base, worker)
        own.pid = getpid()
        own.started_us = time.time_ns() // 1000
        settle_spare(<TableHeader*>self._base, own)

    cdef char* base(self) noexcept nogil:
        return self._base

    cdef char* block(self) noexcept nogil:
        return <char*>own_header(self._base, self.worker)

    cdef object memory(self):
        return self._memory

    cdef uint32_t find(self, uint32_t route, const char* path, uint32_t n) noexcept nogil:
        cdef TableHeader* header = <TableHeader*>self._base
        cdef uint64_t* index = <uint64_t*>(self._base + header.index_at)
        cdef uint32_t mask = header.index_entries - 1
        cdef uint64_t hash = weir_hash(header.seed_0, header.seed_1, route, path, n)
        cdef uint64_t tag = hash & ~<uint64_t>ROW_MASK
        cdef uint32_t at = <uint32_t>hash & mask
        cdef uint32_t spare = 0
        cdef uint32_t row
        cdef uint64_t entry
        cdef int _probe
        cdef TableWorker* own
        for _probe in range(PROBES):
            entry = weir_load64_acquire(&index[at])
            if entry == 0:
                spare = prepare_row(header, self.worker, hash, route, path, n)
                if spare == 0:
                    own_header(self._base, self.worker).exchanges_full += 1
                    note_distinct(header, self.worker, route, hash)
                    return route
                own = own_header(self._base, self.worker)
                if weir_publish(&index[at], &entry, tag | spare):
                    own.spare_row = 0
                    own.rows_claimed += 1
                    return spare - 1
                # Somebody else was here first; `entry` is what they put, perhaps our very path.
                own.claims_lost += 1
            if entry & ~<uint64_t>ROW_MASK == tag:
                row = <uint32_t>(entry & ROW_MASK) - 1
                if is_series(row_entry(header, row), hash, route, path, n):
                    return row
            at = (at + 1) & mask
        own_header(self._base, self.worker).exchanges_crowded += 1
        note_distinct(header, self.worker, route, hash)
        return route

    cdef uint64_t* row(self, uint32_t row) noexcept nogil:
        return row_counters(<TableHeader*>self._base, self.worker, row)

    cdef uint64_t* reasons(self) noexcept nogil:
        return own_header(self._base, self.worker).reasons

    cdef uint64_t total(self, uint32_t row, uint32_t counter) noexcept nogil:
        cdef TableHeader* header = <TableHeader*>self._base
        cdef uint64_t* place = row_counters(header, 0, row) + counter
        cdef uint64_t sum = 0
        cdef uint32_t _worker
        for _worker in range(self.workers):
            sum += weir_load64(place)
            place = <uint64_t*>(<char*>place + header.worker_bytes)
        return sum

    cdef void observe(self, uint32_t row, uint32_t histogram, int64_t us) noexcept nogil:
        count_duration(row_histogram(<TableHeader*>self._base, self.worker, row, histogram), us)

    cdef void observe_part(self, uint32_t route, uint32_t part, int64_t us) noexcept nogil:
        cdef TableHeader* header = <TableHeader*>self._base
        cdef char* block = <char*>own_header(self._base, self.worker)
        cdef uint32_t* parts = <uint32_t*>(block + header.parts_at)
        count_duration(parts + (<uint64_t>route * ROUTE_PARTS + part) * ROW_BUCKETS, us)

    # -- for tests and tools ------------------------------------------------------------------------------

    def find_row(self, route: int, path: bytes, repeat: int = 1) -> int:
        """The row of (route, path), claimed if it is new; the route's `(other)` row when there is no room.

        Looks `repeat` times, for measurements. IndexError if there is no such route.
        """
        cdef uint32_t number = self._check(route, self.routes, "route")
        cdef const char* text = path
        cdef uint32_t n = <uint32_t>len(path)
        cdef uint32_t found = 0
        cdef int64_t turns = repeat
        cdef int64_t _i
        with nogil:
            for _i in range(turns):
                found = self.find(number, text, n)
        return found

    def add(self, row: int, counter: int, n: int, repeat: int = 1) -> None:
        """Adds n to one of this worker's counters of a row, `repeat` times. IndexError if there is none such."""
        cdef uint32_t number = self._check(row, self.rows, "row")
        cdef uint32_t place = self._check(counter, ROW_COUNTERS, "counter")
        cdef uint64_t amount = n
        cdef int64_t _i
        for _i in range(<int64_t>repeat):
            self.row(number)[place] += amount

    def observe_us(self, row: int, histogram: int, us: int, repeat: int = 1) -> None:
        """Counts a duration in a histogram of a row, `repeat` times. IndexError if there is none such."""
        cdef uint32_t number = self._check(row, self.rows, "row")
        cdef uint32_t which = self._check(histogram, ROW_HISTOGRAMS, "histogram")
        cdef int64_t duration = us
        cdef int64_t turns = repeat
        cdef int64_t _i
        with nogil:
            for _i in range(turns):
                self.observe(number, which, duration)

    def observe_part_us(self, route: int, part: int, us: int) -> None:
        """Counts the duration of a part of the time ledger in a route's histograms. IndexError if there is none."""
        self.observe_part(self._check(route, self.routes, "route"), self._check(part, ROUTE_PARTS, "part"), us)

    def total_of(self, row: int, counter: int) -> int:
        """The sum of a counter of a row over all workers. IndexError if there is none such."""
        return self.total(self._check(row, self.rows, "row"), self._check(counter, ROW_COUNTERS, "counter"))

    def _check(self, number: int, end: int, what: str) -> int:
        if not 0 <= number < end:
            raise IndexError(f"{what} {number} of {end}")
        return number


cdef char* view_address(view) except NULL:
    cdef Py_buffer buffer
    PyObject_GetBuffer(view, &buffer, PyBUF_WRITABLE)
    cdef char* address = <char*>buffer.buf
    PyBuffer_Release(&buffer)
    return address


cdef inline TableWorker* own_header(char* base, uint32_t worker) noexcept nogil:
    cdef TableHeader* header = <TableHeader*>base
    return <TableWorker*>(base + header.workers_at + worker * header.worker_bytes)


cdef inline uint64_t* row_counters(TableHeader* header, uint32_t worker, uint32_t row) noexcept nogil:
    cdef char* block = <char*>own_header(<char*>header, worker)
    return <uint64_t*>(block + header.counters_at) + <uint64_t>row * ROW_COUNTERS


cdef inline uint32_t* row_histogram(TableHeader* header, uint32_t worker, uint32_t row, uint32_t number) noexcept nogil:
    cdef char* block = <char*>own_header(<char*>header, worker)
    return <uint32_t*>(block + header.histograms_at) + (<uint64_t>row * ROW_HISTOGRAMS + number) * ROW_BUCKETS


cdef inline void count_duration(uint32_t* buckets, int64_t us) noexcept nogil:
    if us > <int64_t>LONGEST_US:
        buckets += BUCKETS_USED - 1
    elif us > 1:
        buckets += weir_bucket(<uint64_t>us)
    # Saturates: a full bucket that began again at 0 would be taken for a decrease.
    buckets[0] += buckets[0] != <uint32_t>0xFFFFFFFF


cdef void count_in(uint32_t* buckets, int64_t us) noexcept nogil:
    count_duration(buckets, us)


cdef inline void note_distinct(TableHeader* header, uint32_t worker, uint32_t route, uint64_t hash) noexcept nogil:
    # HyperLogLog (Flajolet and others, 2007): a register keeps the longest run of zeros among the hashes that it got.
    # The hash is mixed once more (the last steps of MurmurHash3): its lower bits have chosen places of the index.
    cdef uint8_t* registers = <uint8_t*>own_header(<char*>header, worker) + header.sketches_at + (
        <uint64_t>route << SKETCH_BITS
    )
    hash ^= hash >> 33
    hash *= <uint64_t>0xFF51AFD7ED558CCD
    hash ^= hash >> 33
    hash *= <uint64_t>0xC4CEB9FE1A85EC53
    hash ^= hash >> 33
    cdef uint32_t register = <uint32_t>(hash >> (64 - SKETCH_BITS))
    cdef uint8_t run = <uint8_t>(1 + weir_zeros(hash << SKETCH_BITS | <uint64_t>1 << (SKETCH_BITS - 1)))
    if registers[register] < run:
        registers[register] = run


cdef inline TableRow* row_entry(TableHeader* header, uint32_t row) noexcept nogil:
    return <TableRow*>(<char*>header + header.directory_at) + row


cdef inline bint is_series(TableRow* entry, uint64_t hash, uint32_t route, const char* path, uint32_t n) noexcept nogil:
    if entry.hash != hash or entry.route != route or entry.path_length != n:
        return False
    return n == 0 or memcmp(entry.path, path, n if n < PATH_BYTES else PATH_BYTES) == 0


cdef uint32_t prepare_row(
    TableHeader* header, uint32_t worker, uint64_t hash, uint32_t route, const char* path, uint32_t n
) noexcept nogil:
    # A row of our own, filled in and unpublished, as row + 1; 0: none is left.
    cdef TableWorker* own = own_header(<char*>header, worker)
    cdef uint32_t stored = n if n < PATH_BYTES else PATH_BYTES
    cdef uint32_t taken
    cdef TableRow* entry
    if own.spare_row == 0:
        taken = weir_load32(&header.rows_taken)
        while True:
            if taken >= header.rows:
                return 0
            if weir_swap32(&header.rows_taken, &taken, taken + 1):
                break
        own.spare_row = taken + 1
    entry = row_entry(header, own.spare_row - 1)
    entry.kind = KIND_SERIES
    entry.route = route
    entry.hash = hash
    entry.path_length = n
    if stored:
        memcpy(entry.path, path, stored)
    return own.spare_row


cdef void settle_spare(TableHeader* header, TableWorker* own) noexcept nogil:
    # A predecessor that was killed right after it had published its row did not come to say so.
    cdef uint64_t* index = <uint64_t*>(<char*>header + header.index_at)
    cdef uint32_t at
    if own.spare_row == 0:
        return
    for at in range(header.index_entries):
        if weir_load64_acquire(&index[at]) & ROW_MASK == own.spare_row:
            own.spare_row = 0
            return
