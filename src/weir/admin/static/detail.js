// One path: its times as a histogram, where the time goes, how its exchanges ended, its last hour.

import { CARDS, Card } from "./charts.js";
import { PARTS, bytes, count, element, rate, setText, share, span, time } from "./format.js";
import { showLedger, showSmall } from "./table.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 560;
const HEIGHT = 150;
const FOOT = 18;
const STATUS = ["1xx", "2xx", "3xx", "4xx", "5xx"];

export class Detail {
  constructor(onClose) {
    this.onClose = onClose;
    this.panel = document.getElementById("detail");
    this.panel.addEventListener("keydown", (event) => event.key === "Escape" && onClose());
  }

  // Shows the panel for a path, or hides it.
  open(path) {
    if (!path) {
      if (this.panel.hidden) return;
      this.panel.hidden = true;
      this.before?.isConnected && this.before.focus({ preventScroll: true });
      return;
    }
    if (this.panel.hidden) this.before = document.activeElement;
    this.build(path);
    this.panel.hidden = false;
    this.close.focus({ preventScroll: true });
  }

  build(path) {
    this.panel.replaceChildren();
    const head = this.panel.appendChild(element("header"));
    this.title = head.appendChild(element("h2", "path", path));
    this.title.id = "detail-path";
    this.close = head.appendChild(element("button", "", "Close"));
    this.close.type = "button";
    this.close.addEventListener("click", this.onClose);
    this.note = this.panel.appendChild(element("p", "muted"));
    this.facts = this.panel.appendChild(element("dl", "facts"));
    this.factNodes = new Map();
    this.section("How long it took");
    this.drawing = this.panel.appendChild(document.createElementNS(SVG, "svg"));
    this.drawing.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.drawing.setAttribute("class", "histogram");
    this.drawing.setAttribute("role", "img");
    this.key = this.panel.appendChild(element("p", "muted", "Filled: total time. Line: time to the first byte. Logarithmic scale."));
    this.times = this.panel.appendChild(element("table", "small"));
    this.section("Where the time goes");
    this.ledger = this.panel.appendChild(element("div", "big-ledger"));
    this.parts = this.panel.appendChild(element("table", "small"));
    this.section("How it ended");
    this.ends = this.panel.appendChild(element("table", "small"));
    this.section("The last hour");
    const box = this.panel.appendChild(element("div", "cards two"));
    this.cards = [CARDS[0], CARDS[1], CARDS[2]].map((kind) => new Card(box, { ...kind, name: `${kind.name} of this path` }));
  }

  section(heading) {
    this.panel.append(element("h3", "", heading));
  }

  fact(name, text, bad = false) {
    let node = this.factNodes.get(name);
    if (!node) {
      const box = this.facts.appendChild(element("div"));
      box.append(element("dt", "", name));
      node = box.appendChild(element("dd"));
      this.factNodes.set(name, node);
    }
    setText(node, text);
    node.classList.toggle("bad", bad);
  }

  update(data, seconds, history) {
    if (!data.known) {
      setText(this.note, "Nothing has been counted under this path yet.");
      return;
    }
    const [requests, perSecond, sent, average, errors, s5xx, , , , , , total, parts] = data.figures;
    const cut = data.flags & 2 ? " Its name is longer; these are its first 200 bytes." : "";
    setText(this.note, `Route ${data.route}, the last ${span(seconds)}.${cut}`);
    this.fact("Requests", count(requests));
    this.fact("Per second", rate(perSecond));
    this.fact("Errors", errors ? `${count(errors)} (${share(errors / requests)})` : "0", errors > 0);
    this.fact("5xx", s5xx ? `${count(s5xx)} (${share(s5xx / requests)})` : "0", s5xx > 0);
    this.fact("Bytes sent", bytes(sent));
    this.fact("On average", bytes(average));
    this.fact("Bytes received", bytes(data.request_bytes));
    this.fact("Sent again", count(data.retries));
    this.drawHistogram(data);
    const line = (name, [, mean, p50, p90, p99, p999]) => [name, ...[mean, p50, p90, p99, p999].map((us) => (requests ? time(us) : "–"))];
    showSmall(this.times, ["", "mean", "p50", "p90", "p99", "p99.9"], [line("total", data.total), line("first byte", data.first_byte)]);
    showLedger(this.ledger, parts);
    const rows = PARTS.map(([name, meaning], i) => [
      name,
      meaning,
      parts ? share(parts[i] / 1000) : "–",
      parts && requests ? time((parts[i] / 1000) * (total / requests)) : "–",
      data.parts.length ? time(data.parts[i][0]) : "–",
      data.parts.length ? time(data.parts[i][1]) : "–",
    ]);
    showSmall(this.parts, ["Part", "", "share", "mean", "route p50", "route p99"], rows);
    [...this.parts.tBodies[0].rows].forEach((row, i) => row.cells[0].classList.add("part", `part-${PARTS[i][0]}`));
    const ends = data.status.map((n, i) => [STATUS[i], n]).filter(([, n]) => n);
    const lines = [...ends, ...data.reasons].map(([word, n]) => [word, count(n), share(n / (requests || 1))]);
    showSmall(this.ends, ["Status or reason", "requests", "share"], lines, ([word]) => word === "5xx" || !STATUS.includes(word));
    this.cards.forEach((card) => {
      card.replace(history);
      if (history.length) card.show(history[history.length - 1]);
    });
  }

  drawHistogram(data) {
    const [total, firstByte] = data.histograms;
    const text = JSON.stringify([total, firstByte]);
    if (this.drawn === text && this.drawing.childElementCount) return;
    this.drawn = text;
    this.drawing.replaceChildren();
    this.drawing.setAttribute("aria-label", `Histogram of times: half within ${time(data.total[2])}, 99 % within ${time(data.total[4])}`);
    const used = [total, firstByte].filter(([, counts]) => counts.length);
    if (!used.length) return;
    // Whole octaves, at least four of them.
    let low = Math.floor(Math.min(...used.map(([at]) => at)) / 8) * 8;
    const high = Math.max(low + 32, Math.ceil(Math.max(...used.map(([at, counts]) => at + counts.length)) / 8) * 8);
    low = Math.max(low, 0);
    const step = WIDTH / (high - low);
    const most = Math.max(...used.flatMap(([, counts]) => counts));
    const x = (bucket) => (bucket - low) * step;
    const y = (n) => HEIGHT - FOOT - (n / most) * (HEIGHT - FOOT - 16);
    this.powers(low, high, x);
    let bars = "";
    total[1].forEach((n, i) => {
      if (n) bars += `M${x(total[0] + i).toFixed(1)} ${HEIGHT - FOOT}V${Math.min(y(n), HEIGHT - FOOT - 1).toFixed(1)}h${Math.max(step - 1, 1).toFixed(1)}V${HEIGHT - FOOT}Z`;
    });
    this.draw("path", { d: bars, class: "bars" });
    if (firstByte[1].length) {
      let line = `M${x(firstByte[0]).toFixed(1)} ${HEIGHT - FOOT}`;
      firstByte[1].forEach((n) => (line += `V${y(n).toFixed(1)}h${step.toFixed(1)}`));
      this.draw("path", { d: `${line}V${HEIGHT - FOOT}`, class: "line" });
    }
    [["p50", data.total[2]], ["p90", data.total[3]], ["p99", data.total[4]]].forEach(([name, us], i) => {
      const at = Math.min(Math.max(x(Math.log2(us) * 8), 0), WIDTH);
      this.draw("path", { d: `M${at.toFixed(1)} ${4 + i * 10}V${HEIGHT - FOOT}`, class: "mark" });
      const right = at > WIDTH - 40;
      this.label(right ? at - 3 : at + 3, 11 + i * 10, name, right ? "end" : "start");
    });
  }

  // Marks at 1, 10, 100 us and so on; where few fit, others between them.
  powers(low, high, x) {
    for (let us = 1; us <= 1e9; us *= 10) {
      const bucket = Math.log2(us) * 8;
      if (bucket < low || bucket > high) continue;
      this.draw("path", { d: `M${x(bucket).toFixed(1)} 0V${HEIGHT - FOOT}`, class: "grid" });
      const at = x(bucket);
      this.label(at, HEIGHT - 4, time(us).replace(/\.0+ /, " "), at < 20 ? "start" : at > WIDTH - 20 ? "end" : "middle");
    }
  }

  draw(name, attributes) {
    const node = this.drawing.appendChild(document.createElementNS(SVG, name));
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  }

  label(x, y, text, anchor) {
    this.draw("text", { x: x.toFixed(1), y, "text-anchor": anchor }).textContent = text;
  }
}
