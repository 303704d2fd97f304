"""`weir top` in a terminal: draws, waits for a key or an update, and leaves the terminal as it was."""

from __future__ import annotations

import contextlib
import curses
import locale
import os
import selectors
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Final

from weir.cli.feed import Feed
from weir.cli.table import Line
from weir.cli.topstate import Top
from weir.cli.topview import draw

__all__ = ["ScreenError", "show"]

COLOURS: Final = {"bad": curses.COLOR_RED, "bar": curses.COLOR_CYAN}
# Reads that find nothing, one after the other, although something was there to be read: the terminal is gone.
MOST_EMPTY: Final = 20


class ScreenError(RuntimeError):
    """The terminal cannot show it."""


def show(top: Top, where: str, feed: Feed, wake_fd: int) -> None:
    """Until a key or a signal (INT, TERM, HUP) ends it. `wake_fd` becomes readable when the feed has something.

    ScreenError for a terminal that cannot place the cursor.
    """
    locale.setlocale(locale.LC_ALL, "")
    try:
        screen = curses.initscr()
    except curses.error as error:
        raise ScreenError(str(error)) from None
    try:
        prepare(screen)
        with signals(top):
            Loop(screen, top, where, feed, wake_fd).run()
    finally:
        screen.keypad(False)
        curses.nocbreak()
        curses.echo()
        curses.endwin()


def prepare(screen: curses.window) -> None:
    curses.noecho()
    curses.cbreak()
    # Escape is a key: a terminal sends its sequences in one piece, and 25 ms are long for that.
    curses.set_escdelay(25)
    screen.keypad(True)
    screen.nodelay(True)
    for change in (lambda: curses.curs_set(0), curses.start_color, curses.use_default_colors):
        # Terminals that cannot do one of these do without.
        with contextlib.suppress(curses.error):
            change()


@contextlib.contextmanager
def signals(top: Top) -> Iterator[None]:
    """TERM, INT and HUP end it in order; WINCH only has to wake the loop, which the wake-up descriptor does."""

    def end(_number: int, _frame: FrameType | None) -> None:
        top.ended = True

    def nothing(_number: int, _frame: FrameType | None) -> None:
        pass

    wanted = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: end, signal.SIGWINCH: nothing}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Loop:
    """One run in one terminal."""

    def __init__(self, screen: curses.window, top: Top, where: str, feed: Feed, wake_fd: int) -> None:
        self.screen, self.top, self.where, self.feed, self.wake_fd = screen, top, where, feed, wake_fd
        self.size = (0, 0)
        self.empty = 0
        self.styles = {"": 0, "head": curses.A_BOLD, "sort": curses.A_BOLD | curses.A_REVERSE, "dim": curses.A_DIM}
        self.styles |= {"keys": curses.A_REVERSE, "chosen": curses.A_REVERSE, "bad": curses.A_BOLD, "bar": 0}
        if curses.has_colors() and not os.environ.get("NO_COLOR"):
            for number, (style, colour) in enumerate(COLOURS.items(), 1):
                curses.init_pair(number, colour, -1)
                self.styles[style] = curses.color_pair(number)

    def run(self) -> None:
        """Sleeps until something happens: it costs what its updates cost."""
        signal_read, signal_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        before = signal.set_wakeup_fd(signal_write, warn_on_full_buffer=False)
        try:
            with selectors.DefaultSelector() as waiting:
                for fd in (0, self.wake_fd, signal_read):
                    waiting.register(fd, selectors.EVENT_READ)
                while not self.top.ended:
                    self.feed.ask(self.top.asked)
                    self.paint()
                    ready = {key.fd for key, _events in waiting.select()}
                    for fd in ready - {0}:
                        os.read(fd, 4096)
                    if 0 in ready:
                        self.read_keys()
                    update = self.feed.take()
                    if update is not None:
                        self.top.take(update)
        finally:
            signal.set_wakeup_fd(before)
            os.close(signal_read)
            os.close(signal_write)

    def read_keys(self) -> None:
        found = False
        while not self.top.ended:
            try:
                key = self.screen.get_wch()
            except curses.error:
                break
            found = True
            if key == "\x0c":
                self.size = (0, 0)  # Ctrl-L: something else has written on the screen
                continue
            name = key if isinstance(key, str) else curses.keyname(key).decode("ascii", "replace")
            self.top.key(name)
            # What is shown next depends on it: the height of the table, which series are there.
            self.feed.ask(self.top.asked)
        self.empty = 0 if found else self.empty + 1
        if self.empty >= MOST_EMPTY:
            self.top.ended = True

    def paint(self) -> None:
        size = tuple(os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1))
        width, height = max(size[0], 1), max(size[1], 1)
        if (width, height) != self.size:
            self.size = (width, height)
            curses.resizeterm(height, width)
            self.screen.clear()
        self.screen.erase()
        for y, line in enumerate(draw(self.top, self.where, width, height)):
            self.put(y, line)
        self.screen.refresh()

    def put(self, y: int, line: Line) -> None:
        encoding = locale.getencoding()
        # The last column of the last line cannot be written without an error; it is written all the same.
        with contextlib.suppress(curses.error):
            self.screen.move(y, 0)
            for text, style in line:
                if text:
                    known = text.encode(encoding, "replace").decode(encoding)
                    self.screen.addstr(known, self.styles.get(style, 0))
