"""What is decided about sending requests again. Made by tools/gen_tables.py from spec/retries.toml; do not edit."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["RETRY_WORDS", "RetryWord"]


class RetryWord(NamedTuple):
    """One row of the table: see spec/retries.toml."""

    word: str
    kind: str
    text: str


# By number.
RETRY_WORDS: tuple[RetryWord, ...] = (
    RetryWord("connect", "retried", "No connection could be made, so another endpoint was asked: nothing was sent, this is no attempt."),
    RetryWord("unsent", "retried", "The connection broke before the kernel took a byte of the request."),
    RetryWord("reused", "retried", "A connection that had been used before broke before a byte of a response came."),
    RetryWord("reset", "retried", "A new connection broke before a byte of a response came."),
    RetryWord("timeout", "retried", "There was no response head within `attempt_timeout`."),
    RetryWord("bad_response", "retried", "The response head was malformed, or cut off."),
    RetryWord("status", "retried", "The response had a status that `on` names; it was dropped before a byte of it went to the client."),
    RetryWord("not_chosen", "refused", "`on` does not name what failed."),
    RetryWord("not_idempotent", "refused", "The request may have been processed, and its method does not allow to do it twice."),
    RetryWord("body_gone", "refused", "A part of the request's body had gone that was not kept: it was larger than `max_replay_body`."),
    RetryWord("attempts", "refused", "As many `attempts` had been made as are allowed."),
    RetryWord("no_endpoint", "refused", "No endpoint was left that had not failed this request."),
    RetryWord("deadline", "refused", "`response_header_timeout`, which bounds all attempts together, was over."),
    RetryWord("budget", "refused", "The budget was spent."),
    RetryWord("response_begun", "refused", "The endpoint failed when a part of its response had gone to the client."),
    RetryWord("hedge_sent", "hedge", "A second request went to another endpoint, since the first had no response yet."),
    RetryWord("hedge_won", "hedge", "The response to the second request is what the client got."),
    RetryWord("hedge_failed", "hedge", "The second request came to nothing: no connection, a broken one, or an error for a response."),
    RetryWord("hedge_attempts", "hedge", "Not sent: as many `attempts` had been made as are allowed."),
    RetryWord("hedge_no_endpoint", "hedge", "Not sent: there was no other endpoint with room."),
    RetryWord("hedge_budget", "hedge", "Not sent: the budget was spent."),
    RetryWord("hedge_bound", "hedge", "Not sent: the client's cookie binds the request to the endpoint that it is at."),
)
