// Answers from the server: a stream while there is one to be had, single questions otherwise, and again after a break.

const RETRY_MS = [300, 700, 1500, 3000, 5000];
const POLL_MS = 1000;
// Polling: how often a stream is tried again.
const STREAM_AGAIN_MS = 15000;
// A stream says something each second; a browser that keeps no connection for us says nothing at all.
const SILENCE_MS = 6000;

function browserName() {
  try {
    let name = localStorage.getItem("weir-browser");
    if (!name) {
      name = Array.from(crypto.getRandomValues(new Uint8Array(8)), (n) => n.toString(16).padStart(2, "0")).join("");
      localStorage.setItem("weir-browser", name);
    }
    return name;
  } catch {
    return "";
  }
}

export class Stream {
  // query(): URLSearchParams of the question; onAnswer(data); onState("connecting" | "live" | "polling" | "broken" |
  // "paused" | "token").
  constructor(query, onAnswer, onState) {
    this.query = query;
    this.onAnswer = onAnswer;
    this.onState = onState;
    this.browser = browserName();
    this.failures = 0;
    this.turn = 0;
    this.paused = false;
    this.noStreamUntil = 0;
    this.stop = new AbortController();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.halt() : this.restart()));
    window.addEventListener("pagehide", () => this.halt());
    window.addEventListener("pageshow", (event) => event.persisted && this.restart());
  }

  token(text) {
    try {
      if (text !== undefined) sessionStorage.setItem("weir-token", text);
      return sessionStorage.getItem("weir-token") || "";
    } catch {
      if (text !== undefined) this.kept = text;
      return this.kept || "";
    }
  }

  halt() {
    this.turn += 1;
    this.stop.abort();
  }

  pause(paused) {
    this.paused = paused;
    if (paused) {
      this.halt();
      this.onState("paused");
    } else this.restart();
  }

  // Asks anew: something in the question has changed, or there is a reason to hope.
  restart() {
    this.halt();
    if (this.paused || document.hidden) return;
    this.stop = new AbortController();
    this.run(this.turn);
  }

  async run(turn) {
    while (turn === this.turn) {
      const polls = performance.now() < this.noStreamUntil;
      let wait = POLL_MS;
      let broken = !polls;
      try {
        await (polls ? this.poll(turn) : this.listen(turn));
        if (!polls) wait = RETRY_MS[0];
      } catch (problem) {
        if (turn !== this.turn) return;
        if (problem.status === 401) {
          this.onState("token");
          return;
        }
        if (problem.status === 503 || (problem.silent && !this.heard)) {
          this.noStreamUntil = performance.now() + STREAM_AGAIN_MS;
          wait = 0;
          broken = false;
        } else {
          broken = true;
          wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)] * (0.8 + 0.4 * Math.random());
          this.failures += 1;
        }
      }
      if (turn !== this.turn) return;
      if (broken) this.onState("broken");
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  async ask(where, signal) {
    const query = this.query();
    if (where === "/events") query.set("browser", this.browser);
    const token = this.token();
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await fetch(`${where}?${query}`, { headers, signal, cache: "no-store" });
    if (!response.ok) throw Object.assign(new Error(`status ${response.status}`), { status: response.status });
    return response;
  }

  heardFrom(state, answer) {
    this.failures = 0;
    this.heard = true;
    this.onState(state);
    this.onAnswer(answer);
  }

  async poll(turn) {
    const limit = AbortSignal.timeout(SILENCE_MS);
    const response = await this.ask("/snapshot", AbortSignal.any([this.stop.signal, limit]));
    const answer = await response.json();
    if (turn === this.turn) this.heardFrom("polling", answer);
  }

  async listen(turn) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    this.heard = false;
    try {
      const response = await this.ask("/events", AbortSignal.any([this.stop.signal, silence.signal]));
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let pending = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done || turn !== this.turn) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        const events = (pending + value).split("\n\n");
        pending = events.pop();
        for (const event of events) {
          if (event.startsWith("data: ")) this.heardFrom("live", JSON.parse(event.slice(6)));
        }
      }
    } catch (problem) {
      throw silence.signal.aborted ? Object.assign(new Error("silent"), { silent: true }) : problem;
    } finally {
      clearTimeout(timer);
    }
  }
}
