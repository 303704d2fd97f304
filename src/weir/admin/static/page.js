// The page: what is asked is in the address (after #), what comes back is written in place.

import { CARDS, Card } from "./charts.js";
import { Detail } from "./detail.js";
import { PARTS, bytes, count, element, setText, share, span, time } from "./format.js";
import { Stream } from "./stream.js";
import { Table, showSmall } from "./table.js";

const USUAL = { sort: "requests", reverse: "0", q: "", only: "", limit: "50", window: "60", route: "", path: "" };
const STATES = {
  connecting: "connecting",
  live: "live",
  polling: "live (asking each second)",
  broken: "no answer, trying again",
  paused: "paused",
  token: "needs a token",
};
const SEARCH_WAIT_MS = 200;

const byId = (name) => document.getElementById(name);
let asked = read();
let newestPoint = 0;
let started = 0;

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(Object.entries(USUAL).map(([name, usual]) => [name, given.get(name) ?? usual]));
}

function address(changes) {
  const wanted = { ...asked, ...changes };
  const changed = Object.entries(wanted).filter(([name, value]) => value !== USUAL[name]);
  return `#${new URLSearchParams(changed)}`;
}

// A change of the question. What is chosen to look at is a step in the browser's history, how it is sorted is none.
function choose(changes, step = false) {
  history[step ? "pushState" : "replaceState"](null, "", address(changes));
  asked = read();
  show();
  stream.restart();
}

function query() {
  const wanted = new URLSearchParams(Object.entries(asked).filter(([name, value]) => value !== USUAL[name]));
  wanted.set("after", String(newestPoint));
  return wanted;
}

// -- the parts of the page

const cards = CARDS.map((kind) => new Card(byId("cards"), kind));
const table = new Table((sort, reverse) => choose({ sort, reverse: reverse ? "1" : "0" }), (route, path) => address({ route, path }));
const detail = new Detail(() => choose({ route: "", path: "" }, true));
const lists = ["slow", "heavy", "failing"].map((name) => byId(name));
for (const list of lists) {
  for (let i = 0; i < 5; i += 1) {
    const item = list.appendChild(element("li"));
    item.hidden = true;
    const link = item.appendChild(element("a"));
    link.append(element("span", "path"), element("b"));
  }
  list.append(element("li", "muted none", "none"));
}
for (const [name, meaning] of PARTS) {
  const item = byId("legend").appendChild(element("li", `part part-${name}`, name));
  item.title = meaning;
}

let openPath = "";
function show() {
  table.showSort(asked.sort, asked.reverse === "1");
  for (const name of ["search", "only", "limit"]) {
    const value = asked[name === "search" ? "q" : name];
    if (byId(name).value !== value && document.activeElement !== byId(name)) byId(name).value = value;
  }
  for (const choice of document.getElementsByName("window")) choice.checked = choice.value === asked.window;
  const path = asked.path && `${asked.route} ${asked.path}`;
  if (path !== openPath) {
    openPath = path;
    detail.open(asked.path);
  }
}

function showWorst(worst) {
  const texts = [
    worst.slow.map(([route, path, us]) => [route, path, time(us)]),
    worst.heavy.map(([route, path, part]) => [route, path, share(part)]),
    worst.failing.map(([route, path, n, part]) => [route, path, `${count(n)} · ${share(part)}`]),
  ];
  lists.forEach((list, i) => {
    const rows = texts[i];
    [...list.children].slice(0, 5).forEach((item, j) => {
      item.hidden = j >= rows.length;
      if (item.hidden) return;
      const link = item.firstElementChild;
      link.href = address({ route: rows[j][0], path: rows[j][1] });
      link.title = rows[j][1];
      setText(link.firstElementChild, rows[j][1]);
      setText(link.lastElementChild, rows[j][2]);
    });
    list.lastElementChild.hidden = rows.length > 0;
  });
}

function showRoutes(routes) {
  const select = byId("only");
  byId("only-label").hidden = routes.length < 2;
  // The one that is chosen may have had no requests yet, or none any more.
  const names = asked.only && !routes.includes(asked.only) ? [...routes, asked.only] : routes;
  if (select.options.length - 1 === names.length && names.every((name, i) => select.options[i + 1].value === name)) return;
  select.replaceChildren(new Option("all", ""), ...names.map((route) => new Option(route, route)));
  select.value = asked.only;
}

function showAround(data) {
  const list = byId("others");
  const lines = data.others.map(
    (other) =>
      `(other) of ${other[0]}: ${count(other[1])} requests, ${share(other[2])} of the route, for about ${count(other[3])} ` +
      `different paths (± ${share(other[4])}) that found no row of their own.`,
  );
  while (list.children.length > lines.length) list.lastElementChild.remove();
  lines.forEach((line, i) => setText(list.children[i] || list.appendChild(element("li")), line));
  showSmall(
    byId("endpoints"),
    ["Endpoint", "Cluster", "State", "Open", "Idle", "Connecting", "Waiting", "Queued", "Dials", "Failed", "Reused",
      "Spoiled", "Retired", "Races lost", "Closes after"],
    data.endpoints.map((e) => [
      e.endpoint, e.cluster, e.why ? `${e.state}: ${e.why}` : e.state,
      ...[e.open, e.idle, e.connecting, e.waiting, e.queued, e.dials, e.dial_failures, e.reuses, e.spoiled].map(count),
      ...[e.retired, e.races_lost].map(count), e.learned_idle_timeout_ms ? `${(e.learned_idle_timeout_ms / 1000).toFixed(1)} s` : "–",
    ]),
    (row) => row[9] !== "0" || row[2].startsWith("unhealthy") || row[2].startsWith("ejected"),
  );
  showSmall(
    byId("workers"),
    ["Process", "Up", "In flight", "Clients", "Accepted", "To endpoints", "Buffers", "Log lines lost"],
    data.workers.map((w) => [
      String(w.pid), w.started_us ? span(Date.now() / 1000 - w.started_us / 1e6) : "–",
      ...[w.exchanges, w.downstreams, w.accepted, w.upstreams].map(count), bytes(w.buffer_bytes), count(w.log_dropped),
    ]),
    (row) => row[7] !== "0",
  );
}

function showClusters(data) {
  showSmall(
    byId("clusters"),
    ["Cluster", "In progress", "Limit", "Queued", "Breakers open", "Opened", "Sent again", "Out of budget", "Overflows",
      "Cookie kept", "Cookie lost", "Keys elsewhere"],
    data.clusters.map((c) => [
      c.cluster, count(c.in_progress), c.limit ? count(c.limit) : "–",
      ...[c.queued, c.open_breakers, c.breaker_openings, c.retries, c.retries_denied, c.overflows].map(count),
      ...[c.sticky_bound, c.sticky_lost, c.hash_fallbacks].map(count),
    ]),
    (row) => row[4] !== "0",
  );
  const decisions = data.clusters.flatMap((c) => c.decisions.map(([word, kind, n]) => [c.cluster, word, kind, count(n)]));
  showOptional("retries", ["Cluster", "Decision", "Kind", "Count"], decisions, (row) => row[2] === "refused");
  showOptional(
    "limits",
    ["Rate limit", "Listener, route", "By", "Passed", "Delayed", "Limited", "Evicted", "Crowded"],
    data.limits.map((l) => [
      l.dry_run ? `${l.name} (dry run)` : l.name, l.of, l.by,
      ...[l.passed, l.delayed, l.limited, l.evicted, l.crowded].map(count),
    ]),
    (row) => row[5] !== "0",
  );
  showOptional(
    "faults",
    ["Fault", "Listener", "Matched", "Delayed", "Aborted", "Paced"],
    data.faults.map((f) => [f.name, f.listener, ...[f.matched, f.delayed, f.aborted, f.paced].map(count)]),
  );
}

function showHooks(data) {
  const { hooks, requests, met } = data.hooks;
  showOptional(
    "hooks",
    ["Hook", "Phase", "Calls", "Mean", "p99", "Failed", "Timeouts", "Over budget", "Skipped"],
    hooks.map((h) => [
      h.name, h.phase, count(h.calls), h.calls ? time(h.mean_us) : "–", h.calls ? time(h.p99_us) : "–",
      ...[h.failures, h.timeouts, h.over_budget, h.skipped].map(count),
    ]),
    (row) => row[5] !== "0" || row[6] !== "0",
  );
  setText(byId("met"), requests ? `${share(met / requests)} of requests met one` : "");
}

// A table that is there only while it has rows.
function showOptional(name, headings, rows, bad) {
  byId(name).closest("section").hidden = rows.length === 0;
  showSmall(byId(name), headings, rows, bad);
}

function apply(data) {
  const begin = performance.now();
  if (data.started !== started) {
    // Another weir than before: its points are another's, and the rows of its table are numbered anew.
    if (started) table.update({ ...data.table, rows: [] }, false, "");
    started = data.started;
  }
  if (data.chart.length) newestPoint = data.chart[data.chart.length - 1][0];
  cards.forEach((card) => {
    card.add(data.chart);
    card.show(data.now);
  });
  showWorst(data.worst);
  showRoutes(data.routes);
  table.update(data.table, data.routes.length > 1, openPath);
  const shown = data.table.rows.length;
  setText(byId("matched"), `${count(shown)} of ${count(data.table.matched)} paths, the last ${span(data.table.seconds)}`);
  byId("nothing").hidden = shown > 0;
  setText(byId("nothing"), asked.q || asked.only ? "No path matches." : "Nothing was counted in this time.");
  showClusters(data);
  showHooks(data);
  showAround(data);
  if (data.path && asked.path) detail.update(data.path, data.table.seconds, data.history || []);
  const took = performance.now() - begin;
  document.body.dataset.tick = String(data.tick);
  document.body.dataset.took = took.toFixed(2);
  document.body.dataset.serverTook = String(data.tick_ms);
  setText(byId("cost"), `This update: ${data.tick_ms.toFixed(0)} ms in weir, ${took.toFixed(0)} ms here.`);
}

function showState(state) {
  const node = byId("status");
  if (node.dataset.state !== state) {
    node.dataset.state = state;
    setText(node, STATES[state]);
  }
  const hidden = byId("token").hidden;
  byId("token").hidden = state !== "token";
  byId("main").hidden = state === "token";
  if (state === "token" && hidden) {
    setText(byId("token-wrong"), stream.token() ? "That token was not accepted." : "");
    byId("token-text").focus();
  }
}

// -- what a person does

const stream = new Stream(query, apply, showState);
let typing = 0;
byId("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => choose({ q: byId("search").value }), SEARCH_WAIT_MS);
});
byId("only").addEventListener("change", () => choose({ only: byId("only").value }));
byId("limit").addEventListener("change", () => choose({ limit: byId("limit").value }));
byId("windows").addEventListener("change", (event) => choose({ window: event.target.value }));
byId("pause").addEventListener("click", () => pause(!stream.paused));
byId("token").addEventListener("submit", (event) => {
  event.preventDefault();
  stream.token(byId("token-text").value.trim());
  byId("token-text").value = "";
  byId("token").hidden = true;
  stream.restart();
});
window.addEventListener("hashchange", follow);
window.addEventListener("popstate", follow);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const writes = event.target instanceof HTMLInputElement && event.target.type !== "radio";
  if (event.key === "Escape" && asked.path) choose({ route: "", path: "" }, true);
  else if (event.key === "Escape" && event.target === byId("search")) byId("search").blur();
  else if (event.key === "/" && !writes) {
    event.preventDefault();
    byId("search").focus();
  } else if (event.key === "p" && !writes) pause(!stream.paused);
});

function pause(paused) {
  byId("pause").setAttribute("aria-pressed", String(paused));
  setText(byId("pause"), paused ? "Go on" : "Pause");
  stream.pause(paused);
}

let followed = location.hash;
function follow() {
  if (location.hash === followed && JSON.stringify(read()) === JSON.stringify(asked)) return;
  followed = location.hash;
  asked = read();
  show();
  stream.restart();
}

show();
stream.restart();
