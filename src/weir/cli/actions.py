"""What routes do beside sending requests on, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weir.config.action_plan import ActionPlan, Phrase
    from weir.config.plan import Plan

__all__ = ["action_text", "named"]


def action_text(plan: Plan, route: int, path: str) -> str:
    """What a route (index into Plan.routes) does, whose path is written so; "" if it only sends requests on."""
    action = plan.routes[route].action
    if action is None:
        return ""
    parts = [_answer(action, path), _path(action, path)]
    for what, added, dropped in (
        ("request", action.request_lines, action.request_drops),
        ("response", action.response_lines, action.response_drops),
    ):
        names = [name for name, _ in added]
        signs = [f"+{name}" for name in names] + [f"-{name}" for name in dropped if name not in names]
        parts.append(f"{what} {' '.join(signs)}" if signs else "")
    parts.append(f"Host {action.host}" if action.host else "")
    if action.mirror >= 0:
        part = f" {action.mirror_percent} % of it" if action.mirror_percent < 100 else ""
        parts.append(f"mirror{part} to {plan.clusters[action.mirror].name}")
    return "; ".join(filter(None, parts))


def _answer(action: ActionPlan, path: str) -> str:
    from weir.config.phrases import write

    if action.location:
        return f"{action.status} to {write(named(action.location, path))}"
    return f"answer {action.status}" if action.status else ""


def _path(action: ActionPlan, path: str) -> str:
    from weir.config.phrases import write

    if action.rewrite:
        return f"path {write(named(action.rewrite, path))}{'/*' if action.rewrite_rest else ''}"
    taken = f"without {action.strip_segments} segment{'s' if action.strip_segments > 1 else ''}"
    words = [taken if action.strip_segments else "", f"behind {action.add_prefix}" if action.add_prefix else ""]
    text = " ".join(filter(None, words))
    return f"path {text}" if text else ""


def named(phrase: Phrase, path: str) -> Phrase:
    """A phrase with names of parameters in place of numbers of segments."""
    segments = path.split("/")[1:]
    return tuple(
        ("parameter", segments[int(what)][1:-1]) if kind == "segment" else (kind, what) for kind, what in phrase
    )
