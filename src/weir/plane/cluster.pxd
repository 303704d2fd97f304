# A cluster: its endpoints' pools, whose turn it is, and the queue.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from weir.plane.balance cimport Balancer
from weir.plane.breaker cimport Breaker
from weir.plane.choice cimport Choice
from weir.plane.codes cimport Reason
from weir.plane.ejection cimport Ejector
from weir.plane.head cimport Head
from weir.plane.keys cimport KeyRule
from weir.plane.limiter cimport Limiter
from weir.plane.outcome cimport PoolOwner
from weir.plane.pool cimport Acquired, Pool
from weir.plane.proxyproto cimport ProxyVersion
from weir.plane.retry cimport HedgeDelay, Retries
from weir.plane.roster cimport GroupEntry, Roster
from weir.plane.sticky cimport Sticky
from weir.plane.upstream cimport UpstreamHome, UpstreamUser
from weir.plane.workspace cimport Workspace

cdef class Cluster(PoolOwner):
    cdef Workspace workspace
    cdef Roster roster
    cdef readonly str name
    cdef bytes text                         # its name
    cdef bint nowhere                       # it stands for none: its requests are answered with 404
    cdef object plan
    cdef GroupEntry group                   # this worker's figures of it
    cdef list pools                         # of Pool: its members
    cdef dict members                       # the same, by endpoint
    cdef Choice choice                      # how often each may get requests
    cdef Balancer balancer                  # chooses from those that may get them
    cdef bint binds                         # requests are bound to endpoints: by one of the two, or both
    cdef KeyRule keys                       # None: not by a key
    cdef Sticky sticky                      # None: not by a cookie
    cdef uint64_t seen                      # Roster.changed() when that was last found out
    cdef int64_t look_again_us              # when it changes by time alone; 0: never
    cdef uint32_t stamp                     # of the choice that is made
    cdef Ejector ejector
    cdef bint panics                        # all are asked, since too few may be used
    cdef uint32_t panic_below               # percent of the members
    cdef bint trusts_new                    # a member that no check has judged yet may be used
    # from the plan
    cdef bytes host                         # b"": keep the client's
    cdef ProxyVersion proxy_header          # that connections to endpoints begin with
    cdef uint32_t queue_size
    cdef int64_t queue_timeout_ms
    cdef bint newest_first                  # if it is overloaded
    cdef int64_t overloaded_after_us        # a queue that was not empty for so long
    cdef int64_t filled_us                  # when the queue was empty last
    cdef bint admits                        # exchanges have to be admitted: there is a limiter or a breaker
    cdef Limiter limiter                    # None: no limit
    cdef Breaker breaker                    # None: there is none
    cdef int64_t response_header_timeout_ms
    cdef int64_t stream_idle_timeout_ms
    cdef bint request_start                 # endpoints are told when a request came
    cdef uint32_t max_response_head_bytes
    cdef uint32_t max_response_fields
    cdef readonly Retries retry
    cdef readonly HedgeDelay hedge          # None: nothing is hedged
    cdef int64_t rate_since_ms              # since when the queue's rate is measured
    cdef uint64_t rate_taken                # how many had been taken out of it by then
    cdef Pool chosen                        # after acquire: where the user got its place (not for A_QUEUED)
    cdef Reason failure

    # -- members
    # The new one, or the one that there is. `name`: what brings it, as it is called in the file.
    cdef Pool add(self, str endpoint, str name)
    cdef int remove(self, str endpoint) except -1
    cdef Pool member(self, str endpoint)                # None: there is none
    # Finds out who may get requests: members or standings have changed.
    cdef int look(self) except -1
    cdef bint is_stale(self) noexcept                   # it is time to

    # Takes down what binds a request to an endpoint: its head, just parsed, stands at p. For clusters that bind.
    cdef void bind(
        self, const char* p, const Head* head, const char* client, uint32_t client_length, UpstreamUser user
    ) noexcept

    # -- connections
    # Sets chosen, failure, and for A_TAKEN chosen.taken. `now`: do not wait for an idle connection.
    cdef Acquired acquire(self, UpstreamUser user, bint now) except *
    # Before that, once for each exchange, if the cluster admits: A_TAKEN (it is one of those in progress), A_QUEUED or
    # A_FAILED. Who leaves the queue with a connection, or for a pool's line, is admitted. let_go is called at the end.
    cdef Acquired admit(self, UpstreamUser user) except *
    cdef Acquired _choose(self, UpstreamUser user, bint now) except *
    cdef void _count_way(self, Pool pool, UpstreamUser user) noexcept  # how it was chosen
    cdef Pool _last_resort(self)
    cdef Pool _bound(self, UpstreamUser user)           # whom a hook or its cookie names, if that may be asked
    # `aside`: those that found no room but must not hold up others, for the caller to put back into the queue.
    cdef Acquired _dial_for(self, UpstreamUser user, list aside) except *
    cdef Acquired _enqueue(self, UpstreamUser user) except *
    # Out of the queue, admitted; not one that `home` has failed. None: nobody may go on.
    cdef UpstreamUser _take_next(self, UpstreamHome home)
    cdef void _put_back(self, UpstreamUser user) noexcept
    # The user's exchange is over: whoever waits may go on in its place. Before its connection is given back.
    cdef void let_go(self, UpstreamUser user) noexcept
    cdef bint is_overloaded(self) noexcept
    cdef int64_t wait_ms(self) noexcept                 # how long one may wait in the queue that joins it now
    cdef void forget(self, UpstreamUser user, Pool pool) noexcept
    # This endpoint has failed the user: it is not asked again for it.
    cdef int avoid(self, UpstreamUser user, UpstreamHome home) except -1
    # Whether the user's cookie names this endpoint, or a hook has.
    cdef bint is_bound(self, UpstreamUser user, Pool pool) noexcept
    # A hook wants the user to go to the endpoint of that name. ValueError if there is none such.
    cdef int want(self, UpstreamUser user, str name) except -1
    cdef bint has_other(self, UpstreamUser user) except -1  # whether there is one that has not failed it
    cdef int64_t retry_after_s(self) noexcept           # what a 503 tells the client to wait
