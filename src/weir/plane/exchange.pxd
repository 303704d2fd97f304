# One request and its response. Its states are in spec/states.toml.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from weir.plane.buffer cimport Buffer
from weir.plane.cluster cimport Cluster
from weir.plane.codes cimport Reason, Step
from weir.plane.edits cimport Edits
from weir.plane.fields cimport RequestPolicy, ResponsePolicy
from weir.plane.framing cimport Framing
from weir.plane.ids cimport Identity
from weir.plane.options cimport ListenerOptions, Route
from weir.plane.origin cimport CLIENT_TEXT, Origin
from weir.plane.pace cimport Pace
from weir.plane.passage cimport Passage
from weir.plane.pool cimport Acquired, Pool
from weir.plane.relay cimport Relay
from weir.plane.stream cimport Stream, StreamOwner
from weir.plane.upstream cimport Upstream, UpstreamUser
from weir.plane.workspace cimport Workspace

cdef enum:
    MAX_INTERIM = 16            # 1xx heads before the final one; more is no response
    # ... and their bytes. All of them may have to wait for a client that does not read, and the final head with
    # them has to fit the workspace's compose buffer.
    MAX_INTERIM_BYTES = 65536

# Parts of the request head that are wanted after it was parsed, as offsets into the owner's inbuf.
cdef struct Part:
    uint32_t at
    uint32_t length

# The client's side, as an exchange sees it.
cdef class ExchangeOwner(StreamOwner):
    cdef Workspace workspace
    cdef ListenerOptions options
    cdef Stream stream
    cdef Buffer inbuf                   # holds the whole request head while its exchange lasts
    cdef Buffer out                     # bytes for the client that the kernel refused: error answers, interim heads
    cdef uint8_t client_length
    cdef char client[CLIENT_TEXT]       # the client's address as text
    cdef Origin origin                  # the client: hop, or whom a trusted hop tells of, request by request
    cdef Origin hop                     # where the connection comes from, by the kernel or by a PROXY header
    cdef Origin destination             # where it went to, by a PROXY header; family O_UNKNOWN: the socket knows
    cdef bint believed                  # hop is a trusted proxy
    cdef bint tls                       # a PROXY header says that the client came by TLS
    cdef Upstream kept                  # rests until the next request: it speaks for this client only

    # The exchange is over. `keep`: the client's connection is in order and may carry the next request.
    cdef int exchange_done(self, Exchange exchange, bint keep) except -1
    # Answers with an error instead of a response; the status that was sent (0: none could be).
    cdef int answer_error(self, Exchange exchange, Reason reason, bint keep, int64_t retry_after_s) except -1
    # Answers as a hook or a rule of the configuration says (messages.Answer); the status that was sent.
    cdef int answer_own(self, Exchange exchange, object answer, bint keep) except -1
    # The same, with a body that is made piece by piece: response_passage.
    cdef int answer_pieces(self, Exchange exchange, object answer) except -1
    # Answers as its route says (action.Action); likewise.
    cdef int answer_action(self, Exchange exchange, bint keep) except -1
    # Sends a few bytes, or keeps them in `out`. FAILED: the client is gone.
    cdef Step send_small(self, const char* p, uint32_t n) except *

# Whether an attempt that ends so is the endpoint's failure.
cdef bint is_of_endpoint(Reason reason) noexcept

# A second request beside the first: hedging. Whichever has a response head first is the exchange's.
cdef class SecondTry(UpstreamUser):
    # Gives it up, wherever it is.
    cdef int cancel(self) except -1
    # The first has failed: whether this one goes on in its place (it was sent), or is given up.
    cdef bint promote(self) except -1

# What Python may hold of an exchange; it outlives it.
cdef class ExchangeView:
    cdef Exchange exchange              # None: it is over
    # The exchange, which holds it `holders` times, is over. Whether it may serve the next one: nobody else holds it.
    cdef bint end(self, Py_ssize_t holders) except -1

cdef class Exchange(UpstreamUser):
    cdef Workspace workspace
    cdef ExchangeOwner owner
    cdef Route route
    cdef Cluster cluster
    cdef Pool pool                      # where it waits, or whose connection it has
    cdef Upstream upstream
    cdef Relay request
    cdef Relay response
    cdef Buffer head_buf                # of a response head that is not complete, or held
    cdef SecondTry second               # None: there is none
    cdef Exchange next_free

    # -- the request, from its head
    cdef Part head                      # its bytes in inbuf
    cdef Part method_text
    cdef Part target
    cdef Part path
    cdef Part host
    cdef Part referer
    cdef Part user_agent
    cdef uint8_t state                  # ExchangeState
    cdef uint8_t method                 # Method
    cdef uint8_t version_minor
    cdef bint keep_alive                # the client wants its connection kept
    cdef bint upgrade
    cdef bint te_trailers
    cdef bint expect
    cdef bint tied                      # its connection may be taken for this client's: not to be used again
    cdef Framing framing                # of the request
    cdef bint request_whole             # all of it stands in inbuf
    cdef bint body_read                 # more of its body was read than stands in inbuf
    cdef bint may_repeat                # it may be sent again though it may have been processed
    cdef uint32_t body_in_inbuf         # bytes after the head that belong to this request

    # -- progress
    cdef uint32_t row
    cdef uint16_t status                # sent to the client; 0: none yet
    cdef bint keep_client
    cdef bint upstream_keep_alive
    cdef bint response_begun            # a byte of a response has come
    cdef bint upload_broken             # the endpoint takes no more of the request
    cdef bint accepted                  # the kernel took a byte of the request, this attempt
    cdef uint32_t response_scanned      # of a response head that is not complete
    cdef bint head_held                 # a whole response head has waited, or waits, for its body
    cdef bint continued                 # a 100 was passed on
    cdef uint8_t interim
    cdef uint32_t interim_bytes
    cdef uint8_t attempts
    cdef uint8_t retries
    cdef bint forgiven                  # endpoints that failed it may be tried again
    cdef Pool raced                     # where a used connection broke as it was used again; None: nowhere
    cdef Reason reason
    cdef int64_t gives_up_ms            # when the client waits no longer; 0: it does not say; DEADLINE_BAD: not well
    cdef int64_t deadline_ms            # of the response head, over all attempts; 0: no request was sent whole yet
    cdef int64_t attempt_ends_ms        # ... for this attempt; 0: only the deadline
    cdef int64_t hedge_at_ms            # when a second request is sent; 0: it cannot be hedged
    cdef int64_t started_us             # first byte of the request head
    cdef int64_t first_byte_us          # of the final response head; 0: none
    cdef int64_t head_us                # the whole request head was there
    cdef int64_t waits_us               # since when it waits for a connection: head_us, or when the last attempt failed
    cdef int64_t connecting_us          # since when it waits for a dial; 0: for something else
    cdef int64_t connected_us           # when it got the connection that it has; 0: it has none yet
    cdef int64_t connect_us             # how long the connect of that took, as far as the exchange was there
    cdef Pace pace                      # of the client: of a request's body, then of the response
    cdef int64_t idle_us                # when it ends if no byte moves
    cdef int64_t acknowledged           # bytes of the response that the client has, when one was last written
    cdef Identity identity              # said to the endpoint, in an answer, and in the log

    # -- what it meets of Python, and what that changes
    cdef uint64_t hooked                # a bit for each hook of its route that is about it
    cdef bint calling                   # it waits for a hook
    cdef bint meets_response            # hooks see its response head, now
    cdef bint response_met              # ... have seen it
    cdef ExchangeView view              # without an exchange: it served an earlier one; None: no hook has seen it
    cdef bint filled                    # what its route does with the request's head is in request_edits
    cdef Edits request_edits            # None: none
    cdef Edits response_edits
    cdef Passage request_passage        # None: the body does not meet Python
    cdef Passage response_passage

    # -- what its listener's rules say (admission)
    cdef uint8_t outcome                # Outcome: what is done with it when it has waited
    cdef bint injected                  # a fault has a part in it
    cdef uint16_t variant               # of an error answer, as ErrorPages.variant has it
    cdef int64_t retry_after_s          # said in a refusal
    cdef uint64_t bytes_per_s           # of the response; 0: as fast as it goes

    # Takes down what is wanted of the workspace's request_head, just parsed, which stands at inbuf.start.
    cdef int record(self, ExchangeOwner owner, Route route, const Framing* framing, int64_t started_us) except -1
    # After record: goes about it. The exchange may be over when it returns, as after any of these calls.
    cdef int start(self) except -1
    cdef int on_client_event(self, uint32_t what) except -1
    # How many bytes of inbuf, from the head on, belong to this exchange: after them comes the next request.
    cdef uint32_t consumed(self) noexcept

    # What it is sent to from here on, and what follows from that. Before its first attempt.
    cdef int use_cluster(self, Cluster cluster) except -1
    # The workspace's request_head is this request's again. False: it cannot be.
    cdef bint restore_head(self) noexcept
    # The hooks of a phase (hooks.Phase) are done.
    cdef int go_on(self, int phase) except -1
    # It is counted and logged: hooks of phase "log" see it.
    cdef int meet_end(self) except -1
    # Python has moved a body.
    cdef int body_moved(self, Passage passage) except -1
    # All of the request was read from the client.
    cdef bint request_taken(self) noexcept
    # Its request is on its way, or was.
    cdef bint state_is_sent(self) noexcept
    # If it is answered now without a response: whether the client's connection is in order then.
    cdef bint may_keep(self) noexcept
    # Instead of start: it is answered with an error.
    cdef int refuse(self, Reason reason) except -1

    # -- ends
    # The endpoint is gone before a response: once more, or fail.
    cdef int lost(self, Reason reason) except -1
    # This attempt has failed (RetryOn), before a byte of its response went to the client: once more, or fail.
    cdef int try_again(self, uint16_t failure, Reason reason) except -1
    # As try_again, but False, and nothing done, if there is no other attempt. R_NONE: it has answered.
    cdef bint tries_again(self, uint16_t failure, Reason reason) except -1
    # The request head for the endpoint, in the workspace's compose buffer; 0: it could not be composed.
    cdef uint32_t compose_request(self) noexcept
    # The second request's connection, and what has come on it, are this exchange's from here on.
    cdef int take_over(self, Upstream upstream, Buffer buf) except -1
    # An error: answered if that is still possible, else visibly cut.
    cdef int fail(self, Reason reason) except -1
    # Over without another word to the client.
    cdef int abort(self, Reason reason) except -1
    cdef bint _may_be_race(self, Reason reason) noexcept
    cdef int finish(self, bint keep_upstream, bint keep_client) except -1

    cdef int _return_leftover(self) except -1
    # Fills the parts of the time up to `end_us` in, by LedgerPart.
    cdef void split(self, int64_t* parts_us, int64_t end_us) noexcept
    cdef void _account(self) noexcept
    cdef void _reset(self) noexcept
