"""What a route does beside sending requests on: from what a person wrote to `weir.config.action_plan`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weir.config import phrases
from weir.config.action_kinds import BODY_VARIABLES
from weir.config.action_plan import ActionPlan, Phrase
from weir.config.plan import AddressPlan

if TYPE_CHECKING:
    from weir.config.model import Route

__all__ = ["action_plan", "answers", "places"]

TEXT = "text/plain; charset=utf-8"


def places(path: str) -> dict[str, int]:
    """The parameters of a route's path, and which segment each is."""
    return {part[1:-1]: n for n, part in enumerate(segments(path)) if part.startswith("{")}


def segments(path: str) -> list[str]:
    """The segments of a path, without the asterisk and the empty one at its end."""
    return [part for part in path.split("/") if part not in ("", "*")]


def answers(route: Route) -> bool:
    """Whether a route answers by itself."""
    return bool(route.redirect) or "respond" in route.model_fields_set


def action_plan(route: Route, number: Callable[[str | AddressPlan], int]) -> ActionPlan | None:
    """What a route does; None if it does nothing else than sending requests on. `number` is of clusters by name."""
    known = places(route.path)
    strips = len(segments(route.strip_prefix))
    if route.rewrite:
        strips = len(segments(route.path))
    request, response = route.request, route.response
    plan = ActionPlan(
        strip_segments=strips,
        add_prefix=route.add_prefix,
        rewrite=_pattern(route.rewrite, known),
        rewrite_rest=route.rewrite.endswith("*"),
        host=request.host,
        request_drops=_drops(request.set, request.remove),
        request_lines=_lines(request.set + request.add, known),
        response_drops=_drops(response.set, response.remove),
        response_lines=_lines(response.set + response.add, known),
        mirror=number(route.mirror) if route.mirror else -1,
        mirror_percent=route.mirror_percent if route.mirror else ActionPlan.mirror_percent,
        mirror_max=route.mirror_max if route.mirror else ActionPlan.mirror_max,
        **_answer(route, known),
    )
    return None if plan == ActionPlan() else plan


def _drops(lines: tuple[tuple[str, Phrase], ...], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*(name for name, _ in lines), *names]))


def _lines(lines: tuple[tuple[str, Phrase], ...], known: dict[str, int]) -> tuple[tuple[str, Phrase], ...]:
    return tuple((name, phrases.resolved(phrase, known)) for name, phrase in lines)


def _pattern(rewrite: str, known: dict[str, int]) -> Phrase:
    """ "/people/{id}/*" as texts and segments; what follows the asterisk's place brings its own slash."""
    if not rewrite:
        return ()
    pieces: list[tuple[str, str | int]] = [("text", "")]
    for part in rewrite.removesuffix("/*").split("/")[1:] if rewrite != "/*" else ():
        pieces[-1] = ("text", f"{pieces[-1][1]}/")
        if part.startswith("{"):
            pieces += [("segment", known[part[1:-1]]), ("text", "")]
        else:
            pieces[-1] = ("text", f"{pieces[-1][1]}{part}")
    return tuple(pieces)


def _answer(route: Route, known: dict[str, int]) -> dict[str, Any]:
    if route.redirect:
        return {"status": route.redirect_status, "location": phrases.resolved(route.redirect, known)}
    if "respond" not in route.model_fields_set:
        return {}
    respond = route.respond
    if respond.file is not None:
        _, media, text = respond.file
        return {
            "status": respond.status,
            "content_type": respond.content_type or media,
            "body": phrases.plain(text),
        }
    if respond.content_type:
        return {"status": respond.status, "content_type": respond.content_type, "body": phrases.plain(respond.body)}
    body = phrases.resolved(phrases.parse(respond.body, BODY_VARIABLES), known)
    return {"status": respond.status, "content_type": TEXT if respond.body else "", "body": body}
