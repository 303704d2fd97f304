# The memory of a rule of a listener, as one worker uses it. The byte map: src/weir/stats/rules.py.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    RULE_COUNTERS = 16          # u64 places of each worker

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>

    typedef struct {
        char magic[8];
        uint32_t version, workers;
        uint64_t buckets, counters_at, buckets_at, seed_0, seed_1;
        uint8_t spare[72];
        uint64_t sequence;
    } weir_rule_header;

    /* Who puts a key in holds the lock; marks are fingerprints of keys, 0: never used. */
    typedef struct {
        uint64_t lock;
        uint64_t marks[15];
        uint64_t tats[15];
        uint64_t spare;
    } weir_rule_bucket;

    _Static_assert(offsetof(weir_rule_header, seed_1) == 48, "header");
    _Static_assert(offsetof(weir_rule_header, sequence) == 128, "header");
    _Static_assert(sizeof(weir_rule_bucket) == 256, "bucket");

    static inline uint64_t weir_peek(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void weir_put(uint64_t *p, uint64_t value) { __atomic_store_n(p, value, __ATOMIC_RELEASE); }
    static inline int weir_swap(uint64_t *p, uint64_t seen, uint64_t value) {
        return __atomic_compare_exchange_n(p, &seen, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    static inline uint64_t weir_next(uint64_t *p) { return __atomic_fetch_add(p, 1, __ATOMIC_RELAXED); }
    #if defined(__x86_64__) || defined(__i386__)
    static inline void weir_pause(void) { __builtin_ia32_pause(); }
    #else
    static inline void weir_pause(void) { __asm__ __volatile__("" ::: "memory"); }
    #endif
    """
    ctypedef struct RuleHeader "weir_rule_header":
        uint32_t version
        uint32_t workers
        uint64_t buckets
        uint64_t counters_at
        uint64_t buckets_at
        uint64_t seed_0
        uint64_t seed_1
        uint64_t sequence
    ctypedef struct RuleBucket "weir_rule_bucket":
        uint64_t lock
        uint64_t marks[15]
        uint64_t tats[15]
    uint64_t weir_peek(const uint64_t* p) noexcept nogil
    void weir_put(uint64_t* p, uint64_t value) noexcept nogil
    bint weir_swap(uint64_t* p, uint64_t seen, uint64_t value) noexcept nogil
    uint64_t weir_next(uint64_t* p) noexcept nogil
    void weir_pause() noexcept nogil

cdef class Rule:
    cdef object _view                   # keeps the mapping alive, and from being closed
    cdef RuleHeader* header
    cdef RuleBucket* buckets            # header.buckets of them
    cdef uint64_t* counts               # this worker's own RULE_COUNTERS: nobody else adds to them
