"""What the plan says of a listener and of a route, ready for use."""

from libc.stdint cimport uint32_t

from weir.plane.action cimport Action
from weir.plane.admission cimport Admission
from weir.plane.answers cimport ErrorPages
from weir.plane.clients cimport ClientTable
from weir.plane.cluster cimport Cluster
from weir.plane.fields cimport FWD_APPEND, FWD_KEEP, FWD_OFF, FWD_REPLACE
from weir.plane.head cimport HEAD_MAX_FIELDS
from weir.plane.hooks cimport Hooks
from weir.plane.ids cimport ID_KEEP, ID_PASS, ID_REPLACE, TRACE_JOIN, TRACE_PASS, TRACE_RESTART
from weir.plane.mirrors cimport Mirrors
from weir.plane.router cimport Router
from weir.plane.series cimport SeriesNames
from weir.plane.trust cimport Networks

_FORWARDED = {"replace": FWD_REPLACE, "append": FWD_APPEND, "keep": FWD_KEEP, "off": FWD_OFF}
_REQUEST_ID = {"pass": ID_PASS, "keep": ID_KEEP, "replace": ID_REPLACE}
_TRACE = {"pass": TRACE_PASS, "join": TRACE_JOIN, "restart": TRACE_RESTART}


cdef class Route:
    """A route; `number` is its place in the plan and in the statistics table."""

    def __cinit__(self, plan, int number, Cluster cluster not None, SeriesNames series not None, Hooks hooks=None,
                  dict clusters=None, Mirrors mirrors=None):
        self.name = plan.name
        self.text = self.name.encode()
        self.number = number
        self.cluster = cluster
        self.series = series
        self.max_body_bytes = plan.max_body_bytes
        self.hooks = hooks
        self.mirrors = mirrors
        self.action = None if plan.action is None else Action(plan.action)
        self.clusters = {} if clusters is None else clusters

    cdef Cluster find_cluster(self, str name):
        return <Cluster>self.clusters.get(name)


cdef class ListenerOptions:
    """The settings of one listener: `weir.config.plan.ListenerPlan` and the parts of StatsPlan it shows.

    `routes` are the routes of the plan and `router` is what finds the listener's among them, if there are any but its
    own. `limits` and `faults` are the memories of its rules, as `weir.stats.rules.RuleBook` has them, for worker number
    `worker`; `route_limits` are those of its routes' own rate limits, as Admission takes them. ValueError
    for more fields than a head has places for.
    """

    def __cinit__(self, plan, stats, list routes not None, Router router, make_page, limits, faults, uint32_t worker,
                  route_limits=()):
        if plan.max_fields > HEAD_MAX_FIELDS:
            raise ValueError(f"max_fields is at most {HEAD_MAX_FIELDS}, not {plan.max_fields}")
        self.route = routes[plan.route]
        self.router = router
        self.routes = routes
        self.limits.head_bytes = plan.max_head_bytes
        self.limits.target_bytes = plan.max_target_bytes
        self.limits.fields = plan.max_fields
        self.request_header_timeout_ms = plan.request_header_timeout_ms
        self.idle_timeout_ms = plan.idle_timeout_ms
        self.send_timeout_ms = plan.send_timeout_ms
        self.max_requests = plan.max_requests
        self.proxy_header = plan.proxy_protocol == "require"
        self.trusted = Networks(plan.trusted_proxies) if plan.trusted_proxies else None
        if plan.max_connections_per_client:
            self.clients = ClientTable(plan.max_connections_per_client, plan.client_prefix)
        self.asks = self.proxy_header or self.trusted is not None or self.clients is not None
        self.min_request_rate = plan.min_request_rate_bytes
        self.min_response_rate = plan.min_response_rate_bytes
        self.rate_grace_us = 1000 * plan.rate_grace_ms
        self.notsent_lowat = plan.notsent_lowat_bytes
        self.forwarded = _FORWARDED[plan.forwarded]
        self.request_id = _REQUEST_ID[plan.request_id]
        self.trace = _TRACE[plan.trace]
        self.identifies = self.request_id != ID_PASS or self.trace != TRACE_PASS
        self.trace_sample = plan.trace_sample_percent
        self.server_timing = plan.server_timing == "on"
        self.via_request = plan.via in ("request", "both")
        self.via_response = plan.via in ("response", "both")
        self.half_close_aborts = plan.half_close == "abort"
        self.deadline = plan.deadline_field.encode()
        self.deadline_length = <uint32_t>len(self.deadline)
        self.counter = stats.header.encode()
        self.page = stats.page.encode()
        self.pages = ErrorPages(plan.error_pages)
        self.make_page = make_page
        if plan.rate_limits or plan.faults or route_limits:
            self.admission = Admission(plan, limits, faults, worker, self.pages, route_limits)
