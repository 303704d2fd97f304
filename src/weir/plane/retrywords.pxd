# Made by tools/gen_tables.py from spec/retries.toml; do not edit.

# What was decided about sending a request once more.
cdef enum RetryWord:
    RW_CONNECT = 0
    RW_UNSENT = 1
    RW_REUSED = 2
    RW_RESET = 3
    RW_TIMEOUT = 4
    RW_BAD_RESPONSE = 5
    RW_STATUS = 6
    RW_NOT_CHOSEN = 7
    RW_NOT_IDEMPOTENT = 8
    RW_BODY_GONE = 9
    RW_ATTEMPTS = 10
    RW_NO_ENDPOINT = 11
    RW_DEADLINE = 12
    RW_BUDGET = 13
    RW_RESPONSE_BEGUN = 14
    RW_HEDGE_SENT = 15
    RW_HEDGE_WON = 16
    RW_HEDGE_FAILED = 17
    RW_HEDGE_ATTEMPTS = 18
    RW_HEDGE_NO_ENDPOINT = 19
    RW_HEDGE_BUDGET = 20
    RW_HEDGE_BOUND = 21

cdef enum:
    RETRY_WORDS = 22
    RETRIED_MASK = 0x7f     # by number: it goes on
