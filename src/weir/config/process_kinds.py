"""Kinds of values about processes: whom they run as, and files that are about them."""

from __future__ import annotations

import grp
import os
import pwd
import re
from typing import NoReturn

from weir.config.errors import quoted, refuse
from weir.config.kinds import OFF, Kind, closest, text_of

__all__ = ["absolute_file", "group", "hooks", "user"]


def absolute_file(what: str, example: str) -> Kind:
    """The absolute path of a file; ``""`` and ``"off"`` for none, read as ``""``."""

    def read(value: object) -> str:
        text = text_of(value, f'the path of {what}, or "off"', example)
        if text in ("", OFF):
            return ""
        if not text.startswith("/") or text.endswith("/") or not text.isprintable():
            refuse(f"{quoted(text)} is not the absolute path of a file", f'write "{example}", say, or "off"')
        return text

    schema = {"type": "string", "pattern": "^(off|/.*[^/]|)$"}
    return Kind(read, 'path of a file, or `"off"`', schema, lambda value: value or OFF)


def hooks() -> Kind:
    """A file of hooks, read as its absolute path, or a module; ``""`` and ``"off"`` for none, read as ``""``."""

    def read(value: object) -> str:
        text = text_of(value, 'a file or a module of hooks, or "off"', "app.py")
        if text in ("", OFF):
            return ""
        if not text.endswith(".py") and not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", text):
            refuse(f"{quoted(text)} is neither a file nor a module", 'write "app.py", say, or "package.module"')
        if not text.endswith(".py"):
            return text
        path = os.path.abspath(text)
        if not os.path.isfile(path):
            refuse(f"there is no file {quoted(path)}", "the path is taken from the directory weir is started in")
        return path

    return Kind(read, 'file or module, or `"off"`', {"type": "string"}, lambda value: value or OFF)


def user() -> Kind:
    """The name or number of a user of this machine that is not root; ``"off"`` for none, read as ``""``."""

    def read(value: object) -> str:
        text = _account(value, "user", "weir")
        if not text:
            return ""
        try:
            entry = pwd.getpwuid(int(text)) if text.isdigit() else pwd.getpwnam(text)
        except KeyError:
            _unknown("user", text, [known.pw_name for known in pwd.getpwall()])
        if entry.pw_uid == 0:
            refuse(f"{quoted(text)} may do everything", 'write a user without privileges, or "off"')
        return text

    return Kind(read, 'user, or `"off"`', {"type": "string"}, lambda value: value or OFF)


def group() -> Kind:
    """The name or number of a group of this machine; ``"off"`` for the user's own, read as ``""``."""

    def read(value: object) -> str:
        text = _account(value, "group", "weir")
        if text and not text.isdigit():
            try:
                grp.getgrnam(text)
            except KeyError:
                _unknown("group", text, [known.gr_name for known in grp.getgrall()])
        return text

    return Kind(read, 'group, or `"off"`', {"type": "string"}, lambda value: value or OFF)


def _account(value: object, what: str, example: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        refuse(f"wanted a {what}, a string, found a whole number", f'write "{value}"')
    text = text_of(value, f'a {what}, or "off"', example)
    if text in ("", OFF):
        return ""
    if not text.isprintable() or (text.isdigit() and (not text.isascii() or int(text) >= (1 << 32) - 1)):
        refuse(f"{quoted(text)} is not a {what}", f'for example "{example}"')
    return text


def _unknown(what: str, text: str, known: list[str]) -> NoReturn:
    meant = closest(text, known[:1000])
    hint = f"did you mean {quoted(meant)}?" if meant else f"make it, or write another {what}"
    refuse(f"this machine has no {what} {quoted(text)}", hint)
