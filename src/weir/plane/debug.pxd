# Assertions of the plane's own invariants, and what tells the address sanitizer of memory that is nobody's now.
#
# In a release build all of this is nothing: WEIR_DEBUG is the constant 0, and the compiler drops what is behind it.
# Never about what a peer sends: that is checked, counted and answered. A broken invariant is a bug of weir's, after
# which nothing can be believed: the process ends there, with the place and, under a sanitizer, a stack.

cdef extern from *:
    """
    #include <stdio.h>
    #include <stdlib.h>

    #if WEIR_DEBUG
    static void weir_broken(const char* file, int line)
    {
        fprintf(stderr, "weir: an invariant is broken at %s:%d\\n", file, line);
        abort();
    }
    #define weir_invariant(holds) ((holds) ? (void)0 : weir_broken(__FILE__, __LINE__))
    #else
    #define weir_invariant(holds) ((void)0)
    #endif

    #if defined(__SANITIZE_ADDRESS__)
    #include <sanitizer/asan_interface.h>
    #define weir_disown(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
    #define weir_own(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
    #else
    #define weir_disown(p, n) ((void)0)
    #define weir_own(p, n) ((void)0)
    #endif
    """
    const bint WEIR_DEBUG
    void invariant "weir_invariant" (bint holds) noexcept nogil
    # p[0:n] stays allocated but is nobody's until own(): whoever touches it meanwhile is reported.
    void disown "weir_disown" (void* p, size_t n) noexcept nogil
    void own "weir_own" (void* p, size_t n) noexcept nogil
