# How far names and values of fields go, several bytes at a time. Nothing is read outside p[i:n].

from libc.stdint cimport uint32_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif

    /* The first byte of p[i:n] that is neither a letter nor a hyphen, of which nearly all names are made; it may stop
       earlier. */
    static inline uint32_t weir_plain_name(const char *p, uint32_t i, uint32_t n) {
    #ifdef __SSE2__
        for (; n - i >= 16; i += 16) {
            __m128i x = _mm_loadu_si128((const __m128i *)(p + i));
            __m128i from_a = _mm_sub_epi8(_mm_or_si128(x, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
            __m128i letter = _mm_cmpeq_epi8(_mm_min_epu8(from_a, _mm_set1_epi8(25)), from_a);
            __m128i hyphen = _mm_cmpeq_epi8(x, _mm_set1_epi8('-'));
            uint32_t others = (uint32_t)_mm_movemask_epi8(_mm_or_si128(letter, hyphen)) ^ 0xFFFF;
            if (others)
                return i + (uint32_t)__builtin_ctz(others);
        }
    #endif
        (void)p;
        (void)n;
        return i;
    }

    /* The first byte of p[i:n] that may not stand in a value (RFC 9110 section 5.5): a control character other than the
       tab; n if there is none. */
    static inline uint32_t weir_value_end(const char *p, uint32_t i, uint32_t n) {
    #ifdef __SSE2__
        while (n - i >= 16) {
            __m128i x = _mm_loadu_si128((const __m128i *)(p + i));
            __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1F)), x);
            uint32_t bad = (uint32_t)_mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7F))));
            if (bad == 0) {
                i += 16;
                continue;
            }
            i += (uint32_t)__builtin_ctz(bad);
            if (p[i] != 0x09)
                return i;
            i++;
        }
    #else
        /* The sum flags a byte below 0x20 or equal to 0x7f, sometimes also one above such a byte, never only that. */
        for (; n - i >= 8; i += 8) {
            uint64_t x, d;
            memcpy(&x, p + i, 8);
            d = x ^ 0x7F7F7F7F7F7F7F7FULL;
            x = ((x - 0x2020202020202020ULL) & ~x) | ((d - 0x0101010101010101ULL) & ~d);
            if (x & 0x8080808080808080ULL) {
                uint32_t k;
                for (k = i; k < i + 8; k++) {
                    unsigned char c = (unsigned char)p[k];
                    if ((c < 0x20 && c != 0x09) || c == 0x7F)
                        return k;
                }
            }
        }
    #endif
        for (; i < n; i++) {
            unsigned char c = (unsigned char)p[i];
            if ((c < 0x20 && c != 0x09) || c == 0x7F)
                return i;
        }
        return n;
    }

    /* Whether eight bytes are those of a model but for the case of letters; of the model's own bytes, which are small
       letters, digits and hyphens, only letters have the bit 0x40. */
    static inline int weir_is_eight(const char *s, const char *model) {
        uint64_t x, m;
        memcpy(&x, s, 8);
        memcpy(&m, model, 8);
        return ((x ^ m) & ~((m & 0x4040404040404040ULL) >> 1)) == 0;
    }
    /* s[0:n] in any case is `model`, of n small letters, digits and hyphens. */
    static inline int weir_is_name(const char *s, const char *model, uint32_t n) {
        uint32_t i;
        if (n >= 8) {
            for (i = 0; i + 8 < n; i += 8)
                if (!weir_is_eight(s + i, model + i))
                    return 0;
            return weir_is_eight(s + n - 8, model + n - 8);
        }
        for (i = 0; i < n; i++)
            if (((s[i] ^ model[i]) & ~((model[i] & 0x40) >> 1)) != 0)
                return 0;
        return 1;
    }
    """
    uint32_t plain_name "weir_plain_name"(const char* p, uint32_t i, uint32_t n) noexcept nogil
    uint32_t value_end "weir_value_end"(const char* p, uint32_t i, uint32_t n) noexcept nogil
    bint is_name "weir_is_name"(const char* s, const char* model, uint32_t n) noexcept nogil
