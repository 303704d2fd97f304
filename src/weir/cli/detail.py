"""One series in full: its figures, where its time went, how long its requests took, and how they ended."""

from __future__ import annotations

from typing import Final

from weir.cli.answers import LEDGER_PARTS, STATUS_CLASSES, Histogram, Quantiles, Row
from weir.cli.table import Line, cut, name
from weir.cli.units import bytes_text, count_text, elided, percent_text, shown, time_text
from weir.stats.compare import quantile_place

__all__ = ["bar", "bucket_rows", "detail", "merged", "quantiles_of"]

BAR_COLUMNS: Final = 40
MOST_BUCKET_ROWS: Final = 16
# A part of the ledger's bar is drawn with these, in the order of LEDGER_PARTS.
PART_SIGNS: Final = "HwcR="


def detail(row: Row, seconds: float, relative_error: float, width: int | None = None) -> list[Line]:
    """Lines about a series, of what was counted in so many seconds; none is wider than `width`."""
    across = 200 if width is None else width
    lines: list[Line] = [[(elided(name(row, with_route=bool(row.route)), across), "head")]]
    lines.append([(f"{count_text(row.requests)} requests in {time_text(seconds * 1e6)}, {count_text(row.rate)}/s", "")])
    lines.append(
        [
            (f"sent {bytes_text(row.response_bytes)}, {bytes_text(row.average_bytes)} each; ", ""),
            (f"received {bytes_text(row.request_bytes)}", ""),
        ]
    )
    lines.append(status_line(row))
    lines.append(reason_line(row))
    lines += [[], *times(row, relative_error)]
    if row.ledger.total_us:
        lines += [[], *ledger(row, across)]
    for heading, histogram in (("total time", row.total_histogram), ("first byte", row.first_byte_histogram)):
        if any(histogram.counts):
            lines += [[], [(heading, "head")], *buckets(histogram, across)]
    return [cut(line, across) for line in lines]


def status_line(row: Row) -> Line:
    line: Line = [("status ", "")]
    for (word, _field), count in zip(STATUS_CLASSES, row.statuses, strict=True):
        if count:
            line.append((f" {word} {count_text(count)}", "bad" if word == "5xx" else ""))
    if len(line) == 1:
        line.append((" none", "dim"))
    return line


def reason_line(row: Row) -> Line:
    if not row.errors:
        return [(f"errors  none, {count_text(row.retries)} retries", "")]
    share = percent_text(row.errors / row.requests) if row.requests else "?"
    words = ", ".join(f"{shown(word)} {count_text(count)}" for word, count in row.reasons)
    return [
        (f"errors  {count_text(row.errors)} ({share} %)", "bad"),
        (f": {words}" if words else "", ""),
        (f", {count_text(row.retries)} retries", ""),
    ]


def times(row: Row, relative_error: float) -> list[Line]:
    heading = f"{'':10}  {'mean':>6}  {'p50':>6}  {'p90':>6}  {'p99':>6}  {'p99.9':>6}"
    lines: list[Line] = [[(heading, "head"), (f"  +-{percent_text(relative_error)} %", "dim")]]
    for word, of in (("total", row.total), ("first byte", row.first_byte)):
        figures = (of.mean_us, of.p50_us, of.p90_us, of.p99_us, of.p999_us)
        cells = "".join(f"  {time_text(figure) if of.samples else '-':>6}" for figure in figures)
        lines.append([(f"{word:10}{cells}", "")])
    return lines


def ledger(row: Row, width: int) -> list[Line]:
    """The parts of the total time: one bar for all of them, and a line for each with its mean."""
    shares = row.ledger.shares()
    across = min(BAR_COLUMNS + 20, max(width - 2, 10))
    lines: list[Line] = [[("where the time goes", "head")], [(f"[{stacked(shares, across)}]", "bar")]]
    for sign, share, sum_us, (word, _field, meaning) in zip(
        PART_SIGNS, shares, row.ledger.parts, LEDGER_PARTS, strict=True
    ):
        mean = time_text(sum_us / row.requests) if row.requests else "-"
        text = f" {sign} {word}  {meaning:22} {mean:>6}  {percent_text(share):>4} %"
        lines.append([(text, "" if share else "dim")])
    return lines


def stacked(shares: tuple[float, ...], across: int) -> str:
    """A bar of exactly `across` signs: the ends of the parts are rounded, so that no error adds up."""
    bar_text, seen = "", 0.0
    for sign, share in zip(PART_SIGNS, shares, strict=True):
        seen += share
        bar_text += sign * (round(seen * across) - len(bar_text))
    return bar_text.ljust(across)


def buckets(histogram: Histogram, width: int) -> list[Line]:
    rows = bucket_rows(histogram)
    whole = sum(count for _low, _high, count in rows) or 1
    greatest = max(count for _low, _high, count in rows) or 1
    lines: list[Line] = []
    for low, high, count in rows:
        text = (
            f" {time_text(low):>6} - {time_text(high):>6}  {count_text(count):>6}  {percent_text(count / whole):>4} %  "
        )
        lines.append([(text, ""), (bar(count / greatest, min(BAR_COLUMNS, width - len(text))), "bar")])
    return lines


def bar(share: float, across: int) -> str:
    """A bar for a share, 0 to 1; what is not nothing has at least one sign."""
    return "#" * (max(1, round(share * across)) if share > 0 and across > 0 else 0)


def bucket_rows(histogram: Histogram, most: int = MOST_BUCKET_ROWS) -> list[tuple[float, float, int]]:
    """(from, to, count), times in microseconds, from the first bucket that counts to the last, in at most `most` rows.

    Neighbours are put together, 2, 4, 8, ... of the grid's buckets, whose ends are those of a coarser grid.
    """
    used = [place for place, count in enumerate(histogram.counts) if count]
    if not used:
        return []
    first, last = used[0] + histogram.offset, used[-1] + histogram.offset
    size = 1
    while last // size - first // size + 1 > most:
        size *= 2
    sums = dict.fromkeys(range(first // size, last // size + 1), 0)
    for place in used:
        sums[(place + histogram.offset) // size] += histogram.counts[place]
    step = size / 2**histogram.scale
    return [(2.0 ** (place * step), 2.0 ** ((place + 1) * step), count) for place, count in sums.items()]


def merged(one: Histogram, two: Histogram) -> Histogram:
    """The sum of two histograms. ValueError if their scales differ (an empty one has none)."""
    if not any(one.counts):
        return two
    if not any(two.counts):
        return one
    if one.scale != two.scale:
        raise ValueError("histograms of different scales")
    offset = min(one.offset, two.offset)
    counts = [0] * (max(one.offset + len(one.counts), two.offset + len(two.counts)) - offset)
    for histogram in (one, two):
        for place, count in enumerate(histogram.counts):
            counts[place + histogram.offset - offset] += count
    return Histogram(one.scale, offset, tuple(counts))


def quantiles_of(histogram: Histogram, sum_us: int) -> Quantiles:
    """Quantiles of a histogram, whose counts are taken as evenly spread in their buckets."""
    count = sum(histogram.counts)
    if not count:
        return Quantiles(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
    places = (histogram.offset + quantile_place(histogram.counts, q) for q in (0.5, 0.9, 0.99, 0.999))
    return Quantiles(count, sum_us, sum_us / count, *(2.0 ** (place / 2**histogram.scale) for place in places))
