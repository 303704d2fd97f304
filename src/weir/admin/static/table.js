// The table of paths: rows are kept by their series, and only what has changed is written.

import { bytes, element, ledgerBackground, ledgerText, rate, setText, share, short, time } from "./format.js";

// name, heading, what it means, sort of the server, class, where the number is in a row's figures, how it is written.
// "rank": how soon the column goes when there is little room (3 first).
const COLUMNS = [
  { name: "path", heading: "Path", title: "Route and path", sort: "path" },
  { name: "trend", heading: "Trend", title: "Requests per second over the last minute", rank: 1 },
  { name: "rate", heading: "Rate/s", title: "Requests per second", sort: "requests", at: 1, write: rate, bar: true },
  { name: "requests", heading: "Count", title: "Requests", sort: "requests", at: 0, write: short, rank: 2 },
  { name: "p50", heading: "p50", title: "Half of the requests took no longer", sort: "p50", at: 6, write: time, rank: 1 },
  { name: "p90", heading: "p90", title: "90 % of the requests took no longer", sort: "p90", at: 7, write: time, rank: 3 },
  { name: "p99", heading: "p99", title: "99 % of the requests took no longer", sort: "p99", at: 8, write: time, bar: true },
  { name: "fb50", heading: "FB p50", title: "Half of the response heads came within", sort: "first_byte_p50", at: 9, write: time, rank: 3 },
  { name: "fb99", heading: "FB p99", title: "99 % of the response heads came within", sort: "first_byte_p99", at: 10, write: time, rank: 3 },
  { name: "time", heading: "Time", title: "Share of the time of all requests: what is heavy", sort: "time", at: 11, bar: true, rank: 1 },
  { name: "ledger", heading: "Where", title: "Where the time goes", rank: 2 },
  { name: "errors", heading: "Errors", title: "Exchanges that weir ended with a reason", sort: "errors", at: 4, write: short, bad: true },
  { name: "5xx", heading: "5xx", title: "Answers with a status of 500 and above", sort: "status_5xx", at: 5, write: short, bad: true, rank: 1 },
  { name: "bytes", heading: "Bytes", title: "Response body bytes", sort: "response_bytes", at: 2, write: bytes, rank: 2 },
  { name: "average", heading: "Avg", title: "Response body bytes per request", sort: "average_bytes", at: 3, write: bytes, rank: 3 },
];
const LEDGER_AT = 12;
// While the pointer moves over the rows they keep their places: nobody clicks on what has just come there.
const HOLD_MS = 1200;

export class Table {
  // onSort(sort, reverse) is told what a heading was clicked for; href(route, path) is where a path leads.
  constructor(onSort, href) {
    this.href = href;
    this.body = document.getElementById("rows");
    this.known = new Map();
    this.heldUntil = 0;
    this.headings = COLUMNS.map((column) => this.makeHeading(column, onSort));
    this.sum = COLUMNS.map((column) => {
      const cell = document.getElementById("sum").appendChild(element("td", cellClass(column)));
      return cell;
    });
    setText(this.sum[0], "all that match");
    this.body.addEventListener("pointermove", () => (this.heldUntil = performance.now() + HOLD_MS));
    this.body.addEventListener("pointerleave", () => (this.heldUntil = 0));
  }

  makeHeading(column, onSort) {
    const cell = element("th", cellClass(column));
    cell.scope = "col";
    if (column.sort) {
      const button = element("button", "", column.heading);
      button.type = "button";
      button.title = column.title;
      button.addEventListener("click", () => {
        const again = cell.getAttribute("aria-sort") !== "none";
        onSort(column.sort, again && !this.reverse);
      });
      cell.append(button);
    } else {
      cell.textContent = column.heading;
      cell.title = column.title;
    }
    document.getElementById("headings").append(cell);
    return cell;
  }

  showSort(sort, reverse) {
    this.reverse = reverse;
    const first = COLUMNS.findIndex((column) => column.sort === sort);
    COLUMNS.forEach((column, i) => {
      if (!column.sort) return;
      // The path is ascending unless reversed; numbers the other way round.
      const ascending = (sort === "path") !== reverse;
      this.headings[i].setAttribute("aria-sort", i === first ? (ascending ? "ascending" : "descending") : "none");
    });
  }

  update(data, severalRoutes, chosen) {
    const most = data.rows.reduce(
      (most, row) => ({ rate: Math.max(most.rate, row[4][1]), p99: Math.max(most.p99, row[4][8]) }),
      { rate: 0, p99: 0 },
    );
    const context = { most, allTime: data.total[11], ages: data.spark, severalRoutes, chosen };
    const active = document.activeElement;
    const hold = performance.now() < this.heldUntil && data.rows.some((row) => this.known.has(row[0]));
    let place = this.body.firstElementChild;
    const there = new Set();
    for (const data_row of data.rows) {
      let row = this.known.get(data_row[0]);
      if (hold && !row) continue;
      if (!row) {
        row = new Row(this.href);
        this.known.set(data_row[0], row);
      }
      there.add(data_row[0]);
      row.update(data_row, context);
      if (hold) continue;
      if (row.line === place) place = place.nextElementSibling;
      else this.body.insertBefore(row.line, place);
    }
    if (!hold) {
      for (const [key, row] of this.known) {
        if (there.has(key)) continue;
        row.line.remove();
        this.known.delete(key);
      }
    }
    // Moving a row takes the focus from what is in it.
    if (active && active !== document.activeElement && active.isConnected) active.focus({ preventScroll: true });
    COLUMNS.forEach((column, i) => {
      if (column.write) setText(this.sum[i], column.write(data.total[column.at]));
    });
    showLedger(this.sum[COLUMNS.findIndex((column) => column.name === "ledger")], data.total[LEDGER_AT]);
  }
}

function cellClass(column) {
  return `c-${column.name}${column.rank ? ` rank-${column.rank}` : ""}${column.at !== undefined ? " number" : ""}`;
}

class Row {
  constructor(href) {
    this.href = href;
    this.line = element("tr");
    this.cells = COLUMNS.map((column) => this.line.appendChild(element(column.name === "path" ? "th" : "td", cellClass(column))));
    this.cells[0].scope = "row";
    this.link = this.cells[0].appendChild(element("a"));
    this.route = element("span", "route");
    this.path = element("span", "path");
    this.link.append(this.route, this.path);
    this.trend = makeSpark(this.cells[1]);
    this.text = [];
    this.bars = [];
  }

  update([, route, path, flags, figures, spark], context) {
    if (this.shown !== `${route} ${path}`) {
      this.shown = `${route} ${path}`;
      this.link.href = this.href(route, path);
      this.link.title = path;
      setText(this.path, flags & 2 ? `${path}…` : path);
      this.line.classList.toggle("other", Boolean(flags & 1));
    }
    setText(this.route, context.severalRoutes ? route : "");
    this.line.classList.toggle("chosen", context.chosen === `${route} ${path}`);
    drawSpark(this.trend, spark, context.ages);
    COLUMNS.forEach((column, i) => {
      if (column.at === undefined) return;
      const value = figures[column.at];
      const part = column.name === "time" ? value / (context.allTime || 1) : 0;
      const text = column.name === "time" ? share(part) : column.bad && !value ? "·" : column.write(value);
      if (this.text[i] !== text) this.cells[i].textContent = this.text[i] = text;
      if (column.bad) this.cells[i].classList.toggle("bad", value > 0);
      if (column.bar) {
        const width = Math.round(100 * (column.name === "time" ? part : value / (context.most[column.name] || 1)));
        if (this.bars[i] !== width) this.cells[i].style.setProperty("--bar", `${(this.bars[i] = width)}%`);
      }
    });
    showLedger(this.cells[10], figures[LEDGER_AT]);
  }
}

export function showLedger(cell, parts) {
  const text = parts ? ledgerText(parts) : "";
  if (cell.dataset.parts === text) return;
  cell.dataset.parts = text;
  let bar = cell.querySelector(".ledger");
  if (!bar) {
    bar = cell.appendChild(element("div", "ledger"));
    bar.setAttribute("role", "img");
  }
  bar.style.background = parts ? ledgerBackground(parts) : "";
  bar.title = text;
  bar.setAttribute("aria-label", text || "not known");
}

const SVG = "http://www.w3.org/2000/svg";

export function makeSpark(parent) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 60 16");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("aria-hidden", "true");
  drawing.setAttribute("class", "spark");
  const line = drawing.appendChild(document.createElementNS(SVG, "polyline"));
  parent.append(drawing);
  return line;
}

export function drawSpark(line, rates, ages) {
  const most = Math.max(...rates, 0.001);
  const longest = Math.max(60, ages[0] || 0);
  const points = rates.map((value, i) => `${(60 - (60 * ages[i]) / longest).toFixed(0)},${(15 - (14 * value) / most).toFixed(1)}`);
  const text = points.join(" ");
  if (line.shown !== text) line.setAttribute("points", (line.shown = text));
}

// A small table whose headings and cells are texts; rows are [text, ...], bad(row) says which are marked.
export function showSmall(table, headings, rows, bad = () => false) {
  if (!table.tHead) {
    const line = table.createTHead().insertRow();
    for (const heading of headings) {
      const cell = line.appendChild(element("th", "", heading));
      cell.scope = "col";
    }
    table.createTBody();
  }
  const body = table.tBodies[0];
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, i) => {
    const line = body.rows[i] || body.insertRow();
    line.classList.toggle("bad", bad(row));
    row.forEach((text, j) => setText(line.cells[j] || line.insertCell(), text));
  });
}

