"""The memory of hooks."""

from __future__ import annotations

import struct

from weir.stats.hooks import BUCKETS_AT, HEADER_BYTES, HOOK_COUNTERS, ROW_BYTES, HookBook, create, read, share

A, B = ("request", "a"), ("log", "b")


def test_all_workers_are_summed() -> None:
    memory = create(3)
    for worker in range(3):
        row = HEADER_BYTES + worker * ROW_BYTES
        struct.pack_into("6Q", memory, row, *range(1, 7))
        struct.pack_into("I", memory, row + BUCKETS_AT + 4 * 215, worker)
    counts = read(memory, *A)
    assert [getattr(counts, name) for name in HOOK_COUNTERS] == [3, 6, 9, 12, 15, 18]
    assert (counts.phase, counts.name, counts.buckets[215], sum(counts.buckets)) == ("request", "a", 3, 3)
    assert share(memory) == (3, 6)


def test_a_hook_that_is_there_again_goes_on_with_what_it_had() -> None:
    first = HookBook([A, A, B], 1)
    twice, _again, other = first.memories([A, A, B])
    struct.pack_into("Q", twice, HEADER_BYTES, 7)
    struct.pack_into("Q", other, HEADER_BYTES, 9)
    struct.pack_into("2Q", first.together(), HEADER_BYTES, 10, 4)
    second = HookBook([B, ("request", "new"), A], 1, first)
    assert [(hook.name, hook.calls) for hook in second.counts()] == [("b", 9), ("new", 0), ("a", 7)]
    assert second.share() == (10, 4)
    # What a worker has besides is counted where nobody looks.
    stranger = second.memories([("request", "stranger")])[0]
    struct.pack_into("Q", stranger, HEADER_BYTES, 1)
    assert sum(hook.calls for hook in second.counts()) == 16


def test_without_hooks_there_is_no_memory() -> None:
    book = HookBook([], 1)
    assert book.share() == (0, 0)
    assert list(book.counts()) == []
