# The keyed hash of what clients choose: paths, addresses, values of fields. `salt` keeps kinds of them apart.

from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* A keyed hash of the "multiply, then fold the halves" family: 16 bytes per multiplication. The seeds are random
       and known to the table's users only, so a client cannot look for paths that collide. */
    static inline uint64_t weir_fold(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    static inline uint64_t weir_read8(const char *p) { uint64_t v; memcpy(&v, p, 8); return v; }
    static inline uint64_t weir_read4(const char *p) { uint32_t v; memcpy(&v, p, 4); return v; }
    static inline uint64_t weir_hash(uint64_t seed_0, uint64_t seed_1, uint32_t salt, const char *p, uint32_t n) {
        uint64_t h = weir_fold(seed_0 ^ 0x9E3779B97F4A7C15ULL, seed_1 ^ ((uint64_t)salt << 32 | n));
        uint64_t a, b;
        uint32_t left = n;
        while (left > 16) {
            h = weir_fold(weir_read8(p) ^ seed_0, weir_read8(p + 8) ^ h);
            p += 16;
            left -= 16;
        }
        if (n >= 16) {                  /* the last 16 bytes, overlapping what is done */
            a = weir_read8(p + left - 16);
            b = weir_read8(p + left - 8);
        } else if (left >= 8) {
            a = weir_read8(p);
            b = weir_read8(p + left - 8);
        } else if (left >= 4) {
            a = weir_read4(p);
            b = weir_read4(p + left - 4);
        } else if (left > 0) {
            a = (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[left >> 1] << 8 | (uint8_t)p[left - 1];
            b = 0;
        } else {
            a = b = 0;
        }
        return weir_fold(seed_1 ^ 0xD6E8FEB86659FD93ULL, weir_fold(a ^ seed_1, b ^ h));
    }
    """
    uint64_t weir_hash(uint64_t seed_0, uint64_t seed_1, uint32_t salt, const char* p, uint32_t n) noexcept nogil
