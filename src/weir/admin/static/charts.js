// The cards at the top, and other charts over time. A point is
// [at, requests/s, errors/s, 5xx/s, bytes/s, in flight, p50, p90, p99], as the server sends it.

import { bytes, clock, element, rate, setText, time } from "./format.js";

const HOUR_S = 3600;
const MOST_POINTS = 800;
const HEIGHT = 120;
// Shorter, and a minute after the start the chart would be one step wide.
const LEAST_SPAN_S = 300;

export const CARDS = [
  { name: "requests per second", heading: "Requests", series: [{ at: 1, color: "--c1", label: "requests" }], write: rate, unit: "/s" },
  {
    name: "failures per second",
    heading: "Failing",
    series: [
      { at: 2, color: "--bad", label: "errors" },
      { at: 3, color: "--c3", label: "5xx" },
    ],
    write: rate,
    unit: "/s",
    bad: true,
  },
  {
    name: "latency",
    heading: "Latency",
    series: [
      { at: 6, color: "--c1", label: "p50" },
      { at: 7, color: "--c2", label: "p90" },
      { at: 8, color: "--c3", label: "p99" },
    ],
    write: time,
    unit: "",
    log: true,
  },
  { name: "bytes per second", heading: "Bytes", series: [{ at: 4, color: "--c4", label: "bytes" }], write: bytes, unit: "/s" },
  { name: "in flight", heading: "In flight", series: [{ at: 5, color: "--c2", label: "exchanges" }], write: rate, unit: "" },
];

const dark = matchMedia("(prefers-color-scheme: dark)");

export class Card {
  constructor(parent, kind) {
    this.kind = kind;
    this.points = [];
    this.box = parent.appendChild(element("figure", kind.log ? "card wide" : "card"));
    this.box.setAttribute("aria-label", kind.name);
    const caption = this.box.appendChild(element("figcaption"));
    caption.append(element("h2", "", kind.heading));
    this.numbers = kind.series.map((series) => {
      const label = caption.appendChild(element("span", "figure"));
      if (kind.series.length > 1) label.append(swatch(series));
      return label.appendChild(element("b", "", "–"));
    });
    this.when = caption.appendChild(element("time", "muted"));
    this.place = this.box.appendChild(element("div", "chart"));
    this.place.setAttribute("aria-hidden", "true");
    this.build();
    dark.addEventListener("change", () => this.build());
    new ResizeObserver(() => this.plot.setSize({ width: this.place.clientWidth, height: HEIGHT })).observe(this.place);
  }

  build() {
    this.plot?.destroy();
    this.plot = new uPlot(options(this), this.columns(), this.place);
  }

  // Appends points. Those of the same time or a later one give way: the clock of the server was set back.
  add(points) {
    if (!points.length) return;
    while (this.points.length && this.points[this.points.length - 1][0] >= points[0][0]) this.points.pop();
    this.points.push(...points);
    if (this.points.length > MOST_POINTS) this.points.splice(0, this.points.length - MOST_POINTS);
    this.draw();
  }

  replace(points) {
    this.points = points;
    this.draw();
  }

  draw() {
    this.plot.setData(this.columns());
  }

  columns() {
    // By the server's clock, of which all points are.
    const from = (this.points.length ? this.points[this.points.length - 1][0] : 0) - HOUR_S;
    const points = this.points.filter((point) => point[0] >= from);
    return [points.map((point) => point[0]), ...this.kind.series.map(({ at }) => points.map((point) => point[at] ?? null))];
  }

  // The figures of now, or of where the pointer is.
  show(point) {
    this.now = point;
    if (!this.hovered) this.write(point, "");
  }

  hover(index) {
    const point = index === null || index === undefined ? null : this.plot.data.map((column) => column[index]);
    this.hovered = point;
    if (point) this.writeValues(point.slice(1), clock(point[0]));
    else if (this.now) this.write(this.now, "");
  }

  write(point, when) {
    this.writeValues(this.kind.series.map(({ at }) => point[at]), when);
  }

  writeValues(values, when) {
    values.forEach((value, i) => {
      setText(this.numbers[i], value === null || value === undefined ? "–" : this.kind.write(value) + this.kind.unit);
      if (this.kind.bad) this.numbers[i].classList.toggle("bad", value > 0);
    });
    setText(this.when, when);
  }
}

function swatch(series) {
  const label = element("small", "swatch", series.label);
  label.style.setProperty("--swatch", `var(${series.color})`);
  return label;
}

function options(card) {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const { kind } = card;
  const axis = {
    stroke: color("--muted"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: card.place.clientWidth || 300,
    height: HEIGHT,
    padding: [6, 6, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { setScale: false }, sync: { key: "weir" }, points: { size: 5 } },
    scales: {
      x: { range: (plot, low, high) => [Math.min(low, high - LEAST_SPAN_S), high] },
      y: kind.log ? { distr: 3, range: logRange } : { range: (plot, low, high) => [0, high > 0 ? high * 1.1 : 1] },
    },
    axes: [
      { ...axis, size: 22, space: 70, values: (plot, values) => values.map((value) => clock(value).slice(0, 5)) },
      {
        ...axis,
        grid: kind.log ? { ...axis.grid, filter: onlyPowers } : axis.grid,
        filter: kind.log ? onlyPowers : undefined,
        size: 56,
        space: 28,
        values: (plot, values) => values.map((value) => (value === null ? "" : kind.write(value))),
      },
    ],
    series: [
      {},
      ...kind.series.map((series, i) => ({
        stroke: color(series.color),
        width: 1.5,
        fill: i === 0 && !kind.log ? `${color(series.color)}22` : undefined,
        points: { show: false },
      })),
    ],
    hooks: { setCursor: [(plot) => card.hover(plot.cursor.idx)] },
  };
}

// Whole powers of ten around what there is.
function logRange(plot, low, high) {
  if (!(low > 0)) return [100, 100000];
  const range = [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high))];
  return range[0] === range[1] ? [range[0], range[1] * 10] : range;
}

const isPower = (value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9;
const onlyPowers = (plot, values) => values.map((value) => (isPower(value) ? value : null));
