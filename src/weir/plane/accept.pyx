"""Which kind of answer a client would rather have: proactive negotiation by Accept (RFC 9110 section 12.5.1).

Weir's own answers exist as text and as JSON. What is hard here is only what to do when a client takes both alike:
browsers and curl end their list with `*/*` and want text; programs that list application/json and then `*/*` want
JSON. So a kind that is named counts for more than one that is covered by a wildcard, and of two that are named with
the same weight the one named first.
"""

from libc.stdint cimport uint32_t

from weir.plane.head cimport Head
from weir.plane.text cimport equals_lower

cdef enum:
    WEIGHT_MISSING = -1     # not a weight as RFC 9110 writes one
    MEMBERS_LIMIT = 64      # a longer list is read so far

# How well a kind is liked: by weight, then by how plainly it was named, then by who was named first.
cdef struct Liking:
    int weight              # in thousandths
    int plainness           # 0: not mentioned, 1: */*, 2: type/*, 3: type/subtype
    int place


cdef inline bint accept_is(const char* s, uint32_t n, const char* lower, uint32_t m) noexcept nogil:
    return n == m and equals_lower(s, lower, n)


cdef int accept_weight(const char* s, uint32_t n) noexcept nogil:
    # qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )
    cdef int value = 0
    cdef uint32_t i
    if n == 0 or n > 5 or (s[0] != c"0" and s[0] != c"1") or (n > 1 and s[1] != c"."):
        return WEIGHT_MISSING
    for i in range(2, 5):
        value *= 10
        if i < n:
            if s[i] < c"0" or s[i] > c"9":
                return WEIGHT_MISSING
            value += s[i] - c"0"
    if s[0] == c"1":
        return 1000 if value == 0 else WEIGHT_MISSING
    return value


cdef int accept_member_weight(const char* s, uint32_t n) noexcept nogil:
    # The weight among the parameters in s[0:n], each behind a semicolon; 1000 if there is none.
    cdef uint32_t i = 0
    cdef uint32_t at
    while i < n:
        while i < n and (s[i] == c";" or s[i] == c" " or s[i] == c"\t"):
            i += 1
        at = i
        while i < n and s[i] != c";":
            i += 1
        if i - at >= 2 and (s[at] == c"q" or s[at] == c"Q") and s[at + 1] == c"=":
            while i > at and (s[i - 1] == c" " or s[i - 1] == c"\t"):
                i -= 1
            return accept_weight(s + at + 2, i - at - 2)
    return 1000


cdef void accept_like(Liking* liking, int weight, int plainness, int place) noexcept nogil:
    # The more plainly named range decides (section 12.5.1), of two alike the first.
    if plainness > liking.plainness:
        liking.weight = weight
        liking.plainness = plainness
        liking.place = place


cdef void accept_member(const char* s, uint32_t n, int place, Liking* likings) noexcept nogil:
    cdef uint32_t end = 0
    cdef int weight
    while end < n and s[end] != c";":
        end += 1
    weight = accept_member_weight(s + end, n - end)
    while end > 0 and (s[end - 1] == c" " or s[end - 1] == c"\t"):
        end -= 1
    if weight == WEIGHT_MISSING:
        return
    if accept_is(s, end, b"*/*", 3):
        accept_like(&likings[<int>ANSWER_TEXT], weight, 1, place)
        accept_like(&likings[<int>ANSWER_JSON], weight, 1, place)
        accept_like(&likings[<int>ANSWER_PROBLEM], weight, 1, place)
    elif accept_is(s, end, b"text/*", 6):
        accept_like(&likings[<int>ANSWER_TEXT], weight, 2, place)
    elif accept_is(s, end, b"application/*", 13):
        accept_like(&likings[<int>ANSWER_JSON], weight, 2, place)
        accept_like(&likings[<int>ANSWER_PROBLEM], weight, 2, place)
    elif accept_is(s, end, b"text/plain", 10) or accept_is(s, end, b"text/html", 9):
        accept_like(&likings[<int>ANSWER_TEXT], weight, 3, place)
    elif accept_is(s, end, b"application/json", 16):
        accept_like(&likings[<int>ANSWER_JSON], weight, 3, place)
    elif accept_is(s, end, b"application/problem+json", 24):
        accept_like(&likings[<int>ANSWER_PROBLEM], weight, 3, place)


cdef bint accept_prefers(const Liking* a, const Liking* b) noexcept nogil:
    if a.weight == 0:       # "not acceptable"
        return False
    if a.weight != b.weight:
        return a.weight > b.weight
    if a.plainness != b.plainness:
        return a.plainness > b.plainness
    return a.plainness == 3 and a.place < b.place


cdef AnswerKind preferred_answer(const char* p, const Head* head) noexcept nogil:
    cdef Liking likings[3]
    cdef uint32_t i, k, at, end
    cdef int members = 0
    cdef AnswerKind best = ANSWER_TEXT
    for k in range(3):
        likings[k].weight = 0
        likings[k].plainness = 0
        likings[k].place = 0
    for i in range(head.field_count):
        if not accept_is(p + head.fields[i].name, head.fields[i].name_length, b"accept", 6):
            continue
        k = head.fields[i].value
        end = k + head.fields[i].value_length
        # Quoted strings occur in parameters of media types that are not ours: a comma in one ends nothing of ours.
        while k < end and members < MEMBERS_LIMIT:
            while k < end and (p[k] == c"," or p[k] == c" " or p[k] == c"\t"):
                k += 1
            at = k
            while k < end and p[k] != c",":
                k += 1
            members += 1
            accept_member(p + at, k - at, members, likings)
    if accept_prefers(&likings[<int>ANSWER_JSON], &likings[<int>ANSWER_TEXT]):
        best = ANSWER_JSON
    if accept_prefers(&likings[<int>ANSWER_PROBLEM], &likings[<int>best]):
        best = ANSWER_PROBLEM
    return best
