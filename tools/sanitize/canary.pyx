"""Faults on purpose, one function each: compiled into the sanitized build alone, with the flags of every other module.

Each of them must end the process with a report; tools/sanitize/test_canary.py sees to it. What they are given comes
from Python, so that the compiler cannot know that it is too much.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memset

from weir.plane.buffer cimport BUFFER_SMALL, Buffer, BufferPool
from weir.plane.debug cimport invariant


cdef char* kept = NULL


def heap_overflow(int n):
    """Writes n + 1 bytes into n."""
    cdef char* p = <char*>malloc(n)
    cdef int i
    for i in range(n + 1):
        p[i] = <char>i
    n = p[n // 2]
    free(p)
    return n


def use_after_free(int n):
    """Reads what was freed."""
    cdef char* p = <char*>malloc(n)
    memset(p, 1, n)
    free(p)
    return p[n // 2]


def use_after_give(int n):
    """Reads a buffer that has gone back to the pool."""
    cdef BufferPool pool = BufferPool()
    cdef Buffer buffer = pool.take(BUFFER_SMALL)
    memset(buffer.data, 1, BUFFER_SMALL)
    pool.give(buffer)
    return buffer.data[n]


def signed_overflow(int n):
    """Counts beyond the largest int."""
    return n + 0x7FFFFFFF


def shift(int n):
    """Shifts by more than there is."""
    return 1 << n


def leak(int n):
    """Forgets n bytes."""
    global kept
    kept = <char*>malloc(n)
    memset(kept, 1, n)
    kept = NULL


def broken_invariant(int n):
    """Says that n is 0."""
    invariant(n == 0)
