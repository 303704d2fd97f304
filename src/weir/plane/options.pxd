# What the plan says of a listener and of a route, in C.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from weir.plane.action cimport Action
from weir.plane.admission cimport Admission
from weir.plane.answers cimport ErrorPages
from weir.plane.clients cimport ClientTable
from weir.plane.cluster cimport Cluster
from weir.plane.head cimport HeadLimits
from weir.plane.hooks cimport Hooks
from weir.plane.ids cimport IdPolicy, TracePolicy
from weir.plane.mirrors cimport Mirrors
from weir.plane.router cimport Router
from weir.plane.series cimport SeriesNames
from weir.plane.trust cimport Networks

cdef class Route:
    cdef readonly str name
    cdef readonly uint32_t number
    cdef bytes text                     # its name
    cdef Cluster cluster
    cdef SeriesNames series
    cdef uint64_t max_body_bytes        # 0: no limit
    cdef Hooks hooks                    # None: there are none
    cdef Action action                  # None: it sends requests on as they are
    cdef Mirrors mirrors                # None: its requests are not copied
    cdef dict clusters                  # all of the plan, by name
    cdef Cluster find_cluster(self, str name)

cdef class ListenerOptions:
    cdef Route route                    # of what takes no other
    cdef Router router                  # None: there is no other
    cdef list routes                    # of Route, by the numbers that the router says
    cdef HeadLimits limits
    cdef int64_t request_header_timeout_ms
    cdef int64_t idle_timeout_ms
    cdef int64_t send_timeout_ms
    cdef uint64_t max_requests          # 0: no limit
    # What is asked when a connection comes; `asks`: any of these is there.
    cdef bint asks
    cdef bint proxy_header              # a PROXY header has to come first
    cdef Networks trusted               # None: nobody is
    cdef ClientTable clients            # None: no limit of connections per client
    # The least pace of clients, bytes a second; 0: any.
    cdef uint64_t min_request_rate
    cdef uint64_t min_response_rate
    cdef int64_t rate_grace_us
    cdef int notsent_lowat              # TCP_NOTSENT_LOWAT of client sockets; 0: the system's
    cdef uint8_t forwarded              # ForwardedPolicy
    cdef bint identifies                # the two below are not both PASS
    cdef IdPolicy request_id
    cdef TracePolicy trace
    cdef uint32_t trace_sample          # percent
    cdef bint server_timing
    cdef bint via_request
    cdef bint via_response
    cdef bint half_close_aborts
    cdef bytes deadline                 # name of the request field with a deadline; b"": none
    cdef uint32_t deadline_length
    cdef bytes counter                  # name of the response field with the running total; b"": none
    cdef bytes page                     # path of the statistics page; b"": none
    cdef ErrorPages pages
    cdef object make_page               # () -> bytes
    cdef Admission admission            # None: no rate limits, no faults
