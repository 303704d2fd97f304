// Numbers as people read them. Each function takes a number and returns text.

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (n) => grouped.format(n);

export function short(n) {
  if (n < 10000) return Number.isInteger(n) || n >= 100 ? grouped.format(n) : n.toPrecision(n < 1 ? 2 : 3);
  const [unit, size] = n < 1e6 ? ["k", 1e3] : n < 1e9 ? ["M", 1e6] : ["G", 1e9];
  return `${(n / size).toPrecision(3)}${unit}`;
}

export const rate = (n) => (n === 0 ? "0" : n < 0.01 ? "<0.01" : short(n));

export function bytes(n) {
  let power = 0;
  while (n >= 1024 && power < 5) {
    n /= 1024;
    power += 1;
  }
  const text = power === 0 ? String(Math.round(n)) : n >= 100 ? n.toFixed(0) : n.toPrecision(3);
  return `${text} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB"][power]}`;
}

export function time(us) {
  if (us === null || us === undefined) return "–";
  if (us === 0) return "0";
  if (us < 1000) return `${us < 10 ? us.toPrecision(2) : Math.round(us)} µs`;
  if (us < 1e6) return `${(us / 1e3).toPrecision(3)} ms`;
  return us < 1e9 ? `${(us / 1e6).toPrecision(3)} s` : `${Math.round(us / 1e6)} s`;
}

export function share(part) {
  const percent = part * 100;
  if (percent === 0) return "0 %";
  return percent < 0.1 ? "<0.1 %" : `${percent < 10 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}

export function span(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} d`;
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

// The parts of an exchange's time, as docs/statistics.md has them.
export const PARTS = [
  ["TR", "request head"],
  ["Tw", "waiting for a connection"],
  ["Tc", "connecting"],
  ["Tr", "waiting for the response"],
  ["Td", "data"],
];

// A background that shows thousandths of the five parts side by side.
export function ledgerBackground(parts) {
  let at = 0;
  const stops = parts.map((part, i) => {
    const from = at;
    at += part / 10;
    return `var(--${PARTS[i][0]}) ${from.toFixed(1)}% ${at.toFixed(1)}%`;
  });
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}

export const ledgerText = (parts) => parts.map((part, i) => `${PARTS[i][0]} ${share(part / 1000)}`).join(", ");

// An element with a class and text: text only, since most of it is what strangers sent.
export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
