// Ask the bot service, and listen to it. Whatever goes wrong becomes a Problem, whose name has a sentence in every language.

const API = "../api/";
const ANSWER_MILLISECONDS = 20_000;
/** The server says something every 15 seconds. A stream that misses one time is doubted, one that misses two is dead. */
const DOUBT_MILLISECONDS = 17_000;
const SILENCE_MILLISECONDS = 40_000;
const FIRST_WORD_MILLISECONDS = 10_000;
const PAUSES_SECONDS = [1, 2, 4, 8, 15, 30];
const UNTRUSTED = new Set(["init_data_missing", "init_data_forged", "init_data_expired"]);

export class Problem extends Error {
  constructor(name, fields = {}) {
    super(name);
    this.name = name;
    this.fields = fields;
  }

  /** Only opening the page again helps. */
  get isFinal() {
    return UNTRUSTED.has(this.name);
  }
}

export function serverFor(initData) {
  const headers = initData ? { Authorization: `tma ${initData}` } : {};
  const post = (path, body) => ask(path, { method: "POST", headers, body: JSON.stringify(body ?? {}) });
  return {
    offer: () => ask("offer"),
    state: () => ask("state", { headers }),
    open: ({ amount, currency }) => post("payments", { amount, currency }),
    cancel: (id) => post(`payments/${encodeURIComponent(id)}/cancel`),
    listen: (hear, onBytes, signal) => listen(headers, hear, onBytes, signal),
  };
}

async function ask(path, options = {}) {
  const aborting = new AbortController();
  const timer = setTimeout(() => aborting.abort(), ANSWER_MILLISECONDS);
  try {
    const answer = await fetch(API + path, { cache: "no-store", ...options, signal: aborting.signal });
    if (!answer.ok) throw await problemOf(answer);
    return await answer.json();
  } catch (error) {
    throw asProblem(error);
  } finally {
    clearTimeout(timer);
  }
}

function asProblem(error) {
  if (error instanceof Problem) return error;
  // The proxy's own pages are no JSON: it answers while the service does not.
  return new Problem(error instanceof SyntaxError ? "service_away" : "offline");
}

async function problemOf(answer) {
  const wait = Number(answer.headers.get("Retry-After")) || null;
  try {
    const { error, ...fields } = await answer.json();
    if (typeof error === "string" && answer.status < 500) return new Problem(error, { ...fields, wait });
  } catch {
    // Not ours: see below.
  }
  return new Problem(answer.status === 429 ? "too_many_requests" : "service_away", { wait });
}

/** Read events until the stream ends. A browser's own EventSource could not say who asks. */
async function listen(headers, hear, onBytes, signal) {
  const aborting = new AbortController();
  const abort = () => aborting.abort();
  signal.addEventListener("abort", abort);
  let timer = setTimeout(abort, FIRST_WORD_MILLISECONDS);
  const wait = () => {
    onBytes();
    clearTimeout(timer);
    timer = setTimeout(abort, SILENCE_MILLISECONDS);
  };
  try {
    const answer = await fetch(`${API}events`, { cache: "no-store", headers, signal: aborting.signal });
    if (!answer.ok) throw await problemOf(answer);
    await readEvents(answer.body, hear, wait);
  } catch (error) {
    throw asProblem(error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

async function readEvents(body, hear, onBytes) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onBytes();
    text = (text + decoder.decode(value, { stream: true })).replace(/\r\n?/g, "\n");
    const events = text.split("\n\n");
    text = events.pop();
    events.forEach((event) => readEvent(event, hear));
  }
}

function readEvent(event, hear) {
  const fields = { event: "message", data: "" };
  for (const line of event.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name) fields[name] = value;
  }
  if (fields.event === "expired") throw new Problem("init_data_expired");
  if (fields.event === "state") hear(JSON.parse(fields.data));
}

/**
 * Keep listening: connect again after growing pauses, at once when the network or the user comes back.
 * Where streams do not get through, the state is asked for at each attempt instead.
 */
export class Listening {
  attempt = 0;
  heardAt = 0;
  isOver = false;
  current = new AbortController();
  wake = () => {};

  /** *onState* gets each state; *onConnection* gets null while all is well, or the problem. */
  constructor(server, { onState, onConnection }) {
    Object.assign(this, { server, onState, onConnection });
    window.addEventListener("online", () => this.hurry());
    window.addEventListener("offline", () => this.fallSilent());
    document.addEventListener("visibilitychange", () => document.hidden || this.catchUp());
    this.run();
  }

  async run() {
    while (!this.isOver) {
      this.current = new AbortController();
      const problem = await this.listenOnce();
      this.isOver = Boolean(problem?.isFinal);
      if (problem) this.onConnection(problem);
      // We ended it ourselves, in order to begin anew.
      if (!this.isOver && !this.current.signal.aborted) await this.pause(problem);
    }
  }

  /** Listen until the stream ends; the problem, unless it ended in order or there was another way. */
  async listenOnce() {
    try {
      await this.server.listen((state) => this.hear(state), () => (this.heardAt = Date.now()), this.current.signal);
      return null;
    } catch (problem) {
      if (this.current.signal.aborted) return null;
      return problem.name === "offline" && navigator.onLine ? this.ask() : problem;
    } finally {
      this.heardAt = 0;
    }
  }

  hear(state) {
    this.attempt = 0;
    this.onConnection(null);
    this.onState(state);
  }

  /** Ask for the state once; the problem, or null. */
  async ask() {
    try {
      const state = await this.server.state();
      this.onConnection(null);
      this.onState(state);
      return null;
    } catch (problem) {
      return problem;
    }
  }

  pause(problem) {
    const seconds = Math.max(PAUSES_SECONDS[Math.min(this.attempt, PAUSES_SECONDS.length - 1)], problem?.fields.wait ?? 0);
    this.attempt += 1;
    return new Promise((resolve) => {
      this.wake = resolve;
      // Not all pages at once, after a restart.
      setTimeout(resolve, seconds * 1000 * (0.75 + Math.random() / 2));
    });
  }

  /** Begin anew, now. */
  hurry() {
    this.attempt = 0;
    this.current.abort();
    this.wake();
  }

  /** The user looks again: a stream that slept with the page may be dead without a word. */
  async catchUp() {
    if (this.isOver) return;
    if (Date.now() - this.heardAt > DOUBT_MILLISECONDS || (await this.ask())) this.hurry();
  }

  fallSilent() {
    if (!this.isOver) this.onConnection(new Problem("offline"));
    this.current.abort();
  }
}
