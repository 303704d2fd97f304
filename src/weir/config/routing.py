"""The routes of a configuration as the plane has them: one for each destination, and who takes which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weir.config.actions import action_plan
from weir.config.limit_model import rate_limit_plan
from weir.config.model import Config, Listener, Route
from weir.config.plan import NO_ROUTER, NOWHERE, AddressPlan, ClusterPlan, MatchPlan, RoutePlan, ValuePlan

__all__ = ["CONDITIONS", "Clusters", "Routing", "name_of", "side_names"]

# The keys of a route that say which requests it takes.
CONDITIONS = ("listener", "host", "path", "methods", "fields", "query", "clients")

# What a route may have from its listener: the largest body, how paths are counted, descriptions of the API.
Inherited = tuple[int, str, tuple[str, ...] | None]


class Clusters:
    """The clusters of a plan, which grow by those of single endpoints."""

    def __init__(self, plans: list[ClusterPlan]) -> None:
        self.plans = plans
        self._numbers = {cluster.name: number for number, cluster in enumerate(plans)}

    def number(self, to: str | AddressPlan) -> int:
        """The number of a cluster by its name, or of that of a single endpoint, which is made if it is new."""
        name = to.text if isinstance(to, AddressPlan) else to
        if isinstance(to, AddressPlan) and name not in self._numbers:
            self._numbers[name] = len(self.plans)
            self.plans.append(ClusterPlan(name=name, endpoints=(to,)))
        return self._numbers[name]


class Routing:
    """The routes of a plan, and its routers: the listeners that take the same routes in the same way share one."""

    def __init__(self, config: Config, clusters: Clusters) -> None:
        self.routes: list[RoutePlan] = []
        self.routers: list[tuple[MatchPlan, ...]] = []
        self._config = config
        self._clusters = clusters
        self._names = [route.name or name_of(_conditions(route)) for route in config.route]
        self._numbers: dict[RoutePlan, int] = {}
        self._made: dict[tuple[tuple[int, ...], Inherited], int] = {}

    def add(self, route: RoutePlan) -> int:
        """A route's number."""
        self.routes.append(route)
        return len(self.routes) - 1

    def router_of(self, listener: Listener) -> int:
        """The router of a listener, or NO_ROUTER: it takes no route but its own."""
        text = listener.address.text
        taken = tuple(n for n, route in enumerate(self._config.route) if not route.listener or text in route.listener)
        if not taken:
            return NO_ROUTER
        inherited = (listener.max_body, listener.paths, listener.openapi)
        if (taken, inherited) not in self._made:
            self._made[taken, inherited] = len(self.routers)
            self.routers.append(tuple(self._match(number, inherited) for number in taken))
        return self._made[taken, inherited]

    def _match(self, number: int, inherited: Inherited) -> MatchPlan:
        route, name = self._config.route[number], self._names[number]
        listed: tuple[tuple[str | AddressPlan | None, int], ...] = route.to or ((None, 1),)
        sides = zip(listed, side_names(name, [to for to, _ in route.to]), strict=True)
        return MatchPlan(
            name=name,
            sides=tuple((self._side(route, name, side, to, inherited), weight) for (to, weight), side in sides),
            split_by=route.split_by,
            hosts=route.host,
            path=route.path,
            methods=route.methods,
            fields=route.fields,
            query=route.query,
            clients=route.clients,
        )

    def _side(self, route: Route, own: str, name: str, to: str | AddressPlan | None, inherited: Inherited) -> int:
        """The number of what is done with a route's requests on one side; the same for all listeners that agree."""
        max_body, paths, openapi = inherited
        plan = RoutePlan(
            name=name,
            cluster=NOWHERE if to is None else self._clusters.number(to),
            max_body_bytes=max_body if route.max_body is None else route.max_body,
            paths=paths if route.paths is None else route.paths,
            openapi=openapi if route.openapi is None else route.openapi,
            action=action_plan(route, self._clusters.number),
            rate_limits=tuple(rate_limit_plan(limit) for limit in route.rate_limit),
            limited_as=own if route.rate_limit else "",
        )
        if plan not in self._numbers:
            self._numbers[plan] = self.add(plan)
        return self._numbers[plan]


def side_names(name: str, to: list[str | AddressPlan]) -> list[str]:
    """What is counted together: a route, or each side of it, such as ``api:canary``."""
    if len(to) <= 1:
        return [name]
    return [f"{name}:{side.text if isinstance(side, AddressPlan) else side}" for side in to]


def _conditions(route: Route) -> dict[str, Any]:
    return {key: getattr(route, key) for key in CONDITIONS}


def name_of(conditions: Mapping[str, Any]) -> str:
    """What a route without a name is called: its conditions, as they are read, by key. Other ones, another name."""
    host, methods, listener = conditions["host"], conditions["methods"], conditions["listener"]
    words = [
        "|".join(methods),
        "|".join(host) + (conditions["path"] or "/*"),
        *(_value("", one) for one in conditions["fields"]),
        *(_value("?", one) for one in conditions["query"]),
        "|".join(network.text for network in conditions["clients"]),
        f"({'|'.join(listener)})" if listener else "",
    ]
    return " ".join(filter(None, words))


def _value(mark: str, value: ValuePlan) -> str:
    says = {"present": "", "absent": "", "equal": f"={value.value}", "prefix": f"={value.value}*"}
    return f"{'!' if value.test == 'absent' else ''}{mark}{value.name}{says[value.test]}"
