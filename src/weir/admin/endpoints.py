"""The service weir.v1.Endpoints: operators' orders, written into the shared table, which all workers go by."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from connectrpc.code import Code
from connectrpc.errors import ConnectError

from weir._gen import endpoints_pb as pb
from weir._gen.endpoints_connect import Endpoints
from weir.admin.state import AdminState
from weir.config.address import address_key, parse_endpoint
from weir.config.errors import ConfigError
from weir.stats import layout, reader, roster
from weir.stats.bytemap import ENDPOINT_NAME_BYTES
from weir.stats.roster import Order, Origin, Standing

__all__ = ["EndpointsService"]

MOST_WEIGHT: Final = 1000
# Workers look for new endpoints about once a second, just before their heartbeats.
_TAKING_UP_US: Final = 50_000
_ALIVE_US: Final = 3_000_000
_LOOK_S: Final = 0.02
_LOOKS: Final = 150

_ORDERS: Final = {
    pb.Order.READY: Order.READY,
    pb.Order.DRAIN: Order.DRAIN,
    pb.Order.DOWN: Order.DOWN,
}
_ORDERS_SHOWN: Final = {int(order): shown for shown, order in _ORDERS.items()}
_ORIGINS: Final = {
    int(Origin.FILE): pb.Origin.CONFIGURATION,
    int(Origin.RUN_TIME): pb.Origin.RUN_TIME,
    int(Origin.NAME): pb.Origin.NAME,
}


class EndpointsService(Endpoints):
    """One for all clients. Errors are Connect's: they name what was wrong and say what would do."""

    def __init__(self, state: AdminState) -> None:
        self._state = state
        self._memory = state.memory

    async def list_endpoints(self, request: pb.ListEndpointsRequest, ctx: Any) -> pb.ListEndpointsResponse:
        if request.cluster:
            self._check_cluster(request.cluster)
        found = []
        for known in reader.endpoints(self._memory):
            standing = roster.standing(self._memory, known.number)
            if request.cluster in ("", known.cluster) and self._is_current(known.cluster, standing):
                found.append(member(known, standing))
        return pb.ListEndpointsResponse(members=sorted(found, key=lambda one: (one.cluster, one.endpoint)))

    async def add_endpoint(self, request: pb.AddEndpointRequest, ctx: Any) -> pb.AddEndpointResponse:
        self._check_cluster(request.cluster)
        weight, order = check_weight(request.weight), check_order(request.order)
        endpoint = check_endpoint(request.endpoint)
        # Another spelling of one that is there is that one.
        number = self._find(request.cluster, endpoint)
        said: dict[str, int] = {"weight": weight, "order": Order.READY if order is None else order}
        if number is None:
            try:
                (number,) = layout.name_endpoints(self._memory, [(request.cluster, endpoint)])
            except ValueError as error:
                raise ConnectError(
                    Code.RESOURCE_EXHAUSTED, f"{error}; a place is free again after ten minutes"
                ) from None
            said |= {"origin": Origin.RUN_TIME, "joined_us": time.monotonic_ns() // 1000}
        elif not self._is_current(request.cluster, roster.standing(self._memory, number)) or self._has_left(number):
            said |= {"origin": Origin.RUN_TIME, "joined_us": time.monotonic_ns() // 1000}
        roster.have_seen(self._memory, [number])
        roster.change(self._memory, number, **said)
        await self._taken_up()
        return pb.AddEndpointResponse(member=self._member(number))

    async def remove_endpoint(self, request: pb.RemoveEndpointRequest, ctx: Any) -> pb.RemoveEndpointResponse:
        number, standing = self._existing(request.cluster, request.endpoint)
        if standing.origin != Origin.RUN_TIME:
            where = "the configuration" if standing.origin == Origin.FILE else "the look-up of a name"
            raise ConnectError(
                Code.FAILED_PRECONDITION, f"{request.endpoint} comes from {where}: it can be drained or ordered down"
            )
        roster.change(self._memory, number, order=Order.REMOVED)
        return pb.RemoveEndpointResponse()

    async def change_endpoint(self, request: pb.ChangeEndpointRequest, ctx: Any) -> pb.ChangeEndpointResponse:
        said: dict[str, int] = {}
        order = check_order(request.order)
        if order is not None:
            said["order"] = order
        if request.has_field("weight"):
            said["weight"] = check_weight(request.weight)
        if not said:
            raise invalid("order, weight: give one of the two")
        number, _standing = self._existing(request.cluster, request.endpoint)
        roster.change(self._memory, number, **said)
        return pb.ChangeEndpointResponse(member=self._member(number))

    async def _taken_up(self) -> None:
        """Waits until every worker knows what was added, and the next order may rely on it; 3 s at most."""
        changed_us = time.monotonic_ns() // 1000
        for _ in range(_LOOKS):
            beats = [worker.heartbeat_us for worker in reader.workers(self._memory)]
            if all(beat > changed_us + _TAKING_UP_US for beat in beats if beat > changed_us - _ALIVE_US):
                return
            await asyncio.sleep(_LOOK_S)

    def _check_cluster(self, name: str) -> None:
        names = [cluster.name for cluster in self._state.plan.clusters]
        if name not in names:
            known = ", ".join(names[:20])
            raise ConnectError(Code.NOT_FOUND, f"cluster: there is no {name!r}; the configuration has: {known}")

    def _find(self, cluster: str, endpoint: str) -> int | None:
        """The number of an endpoint, however it is spelled; None if the table has none."""
        wanted = None if is_application(endpoint) else address_key(parse_endpoint(endpoint))
        found = None
        for number, (home, name) in enumerate(layout.endpoint_names(self._memory)):
            if home == cluster and (name == endpoint or (wanted is not None and same_address(name, wanted))):
                found = number
                if self._is_current(cluster, roster.standing(self._memory, number)):
                    return number
        return found

    def _existing(self, cluster: str, endpoint: str) -> tuple[int, Standing]:
        self._check_cluster(cluster)
        number = self._find(cluster, endpoint if is_application(endpoint) else check_endpoint(endpoint))
        if number is not None:
            standing = roster.standing(self._memory, number)
            if self._is_current(cluster, standing):
                return number, standing
        raise ConnectError(Code.NOT_FOUND, f"endpoint: {cluster} has no {endpoint!r}; ListEndpoints shows what it has")

    def _is_current(self, cluster: str, standing: Standing) -> bool:
        return standing.order != Order.REMOVED and roster.is_member(standing)

    def _has_left(self, number: int) -> bool:
        """Whether only workers that drain have it: the configuration in use no longer does."""
        cluster, endpoint = layout.endpoint_names(self._memory)[number]
        plans = [plan for plan in self._state.plan.clusters if layout.endpoint_key(plan.name, "")[0] == cluster]
        members = {layout.endpoint_key(cluster, name)[1] for plan in plans for name in plan.members()}
        return roster.standing(self._memory, number).origin == Origin.FILE and endpoint not in members

    def _member(self, number: int) -> pb.Member:
        return member(reader.endpoints(self._memory)[number], roster.standing(self._memory, number))


def member(known: reader.EndpointState, standing: Standing) -> pb.Member:
    state = roster.state_of(standing)
    return pb.Member(
        cluster=known.cluster,
        endpoint=known.endpoint,
        order=_ORDERS_SHOWN.get(standing.order, pb.Order.UNSPECIFIED),
        origin=_ORIGINS.get(standing.origin, pb.Origin.UNSPECIFIED),
        weight=standing.weight,
        state=state.word,
        why=roster.cause_of(standing, state),
        active=known.active,
        open=known.open,
        attempts=known.attempts,
        failures=known.failures,
    )


def is_application(text: str) -> bool:
    """Whether it can be an endpoint in a configuration only: workers serve it themselves."""
    return text.startswith(("asgi:", "files:"))


def check_endpoint(text: str) -> str:
    if is_application(text):
        raise invalid(f"endpoint: {text!r} cannot be added: a worker serves what its configuration says")
    try:
        parse_endpoint(text)
    except ConfigError as error:
        problem = error.problems[0]
        raise invalid(f"endpoint: {problem.message}" + (f"; {problem.hint}" if problem.hint else "")) from None
    if len(text.encode()) > ENDPOINT_NAME_BYTES:
        raise invalid(f"endpoint: longer than {ENDPOINT_NAME_BYTES} bytes")
    return text


def same_address(name: str, wanted: tuple[str, int]) -> bool:
    try:
        return address_key(parse_endpoint(name)) == wanted
    except ConfigError:
        return False


def check_weight(weight: int) -> int:
    if weight > MOST_WEIGHT:
        raise invalid(f"weight: {weight} is not 1 to {MOST_WEIGHT}, or 0 for that of the configuration")
    return weight


def check_order(order: pb.Order) -> Order | None:
    """None: it stays as it is."""
    if order == pb.Order.UNSPECIFIED:
        return None
    if order not in _ORDERS:
        raise invalid(f"order: {int(order)} is none of {', '.join(known.name for known in _ORDERS)}")
    return _ORDERS[order]


def invalid(message: str) -> ConnectError:
    return ConnectError(Code.INVALID_ARGUMENT, message)
