// Requests to the bot service, and its event stream. Every failure becomes a Problem; locales/ has a text for its name.

const API = "../api/";
const ANSWER_MILLISECONDS = 20_000;
/** Data comes every 15 s. If data is 2 s late, poll the state. If it is 25 s late, reconnect. */
const DOUBT_MILLISECONDS = 17_000;
const SILENCE_MILLISECONDS = 40_000;
const FIRST_WORD_MILLISECONDS = 10_000;
const PAUSE_SECONDS_MAX = 30;
const POLL_MILLISECONDS = 4000;

/** Jitter, so that pages do not all reconnect at once after a restart. */
const spread = (milliseconds) => milliseconds * (0.75 + Math.random() / 2);

export class Problem extends Error {
  constructor(name, fields = {}) {
    super(name);
    this.name = name;
    this.fields = fields;
  }

  /** True if a retry cannot help: the user must open the page again. */
  get isFinal() {
    return this.name.startsWith("init_data_");
  }
}

export function serverFor(initData) {
  const headers = initData ? { Authorization: `tma ${initData}` } : {};
  const post = (path, body) => ask(path, { method: "POST", headers, body: JSON.stringify(body) });
  return {
    offer: () => ask("offer"),
    state: () => ask("state", { headers }),
    open: (wish) => post("payments", wish),
    cancel: (id) => post(`payments/${encodeURIComponent(id)}/cancel`, {}),
    listen: (hear, onBytes, signal) => listen(headers, hear, onBytes, signal),
  };
}

async function ask(path, options) {
  const aborting = new AbortController();
  const timer = setTimeout(() => aborting.abort(), ANSWER_MILLISECONDS);
  try {
    return await (await send(path, options, aborting)).json();
  } catch (error) {
    throw asProblem(error);
  } finally {
    clearTimeout(timer);
  }
}

/** Read events until the stream ends. Do not use EventSource, because it cannot send the Authorization header. */
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
    await readEvents((await send("events", { headers }, aborting)).body, hear, wait);
  } catch (error) {
    throw asProblem(error);
  } finally {
    clearTimeout(timer);
  }
}

async function send(path, options, { signal }) {
  const answer = await fetch(API + path, { cache: "no-store", ...options, signal });
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

async function problemOf(answer) {
  const wait = Number(answer.headers.get("Retry-After")) || null;
  // An answer without JSON is from the proxy.
  const { error, ...fields } = await answer.json().catch(() => ({}));
  if (typeof error === "string" && answer.status < 500) return new Problem(error, { ...fields, wait });
  return new Problem(answer.status === 429 ? "too_many_requests" : "service_away", { wait });
}

function asProblem(error) {
  if (error instanceof Problem) return error;
  // An answer without JSON is from the proxy.
  return new Problem(error instanceof SyntaxError ? "service_away" : "offline");
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
  const fields = Object.fromEntries([...event.matchAll(/^(\w+): ?(.*)$/gm)].map(([, name, value]) => [name, value]));
  if (fields.event === "expired") throw new Problem("init_data_expired");
  if (fields.event === "displaced") throw new Problem("displaced", { wait: JSON.parse(fields.data).retry_after });
  if (fields.event === "state") hear(JSON.parse(fields.data));
}

/**
 * Keep an event stream open: reconnect with backoff, or at once when the network is back or the page is visible again.
 * Poll the state while the stream delivers no data.
 */
export class Listening {
  attempt = 0;
  waitSeconds = 0;
  heardAt = 0;
  isOver = false;
  current = new AbortController();
  wake = () => {};

  /** *listener* takes states and problems (null: none). `isWaiting`: a payment is open. */
  constructor(server, listener) {
    this.server = server;
    this.listener = listener;
    window.addEventListener("online", () => this.hurry());
    window.addEventListener("offline", () => this.fallSilent());
    document.addEventListener("visibilitychange", () => document.hidden || this.catchUp());
    this.run();
    this.poll();
  }

  async run() {
    while (!this.isOver) {
      this.current = new AbortController();
      const problem = await this.listenOnce();
      this.isOver = Boolean(problem?.isFinal);
      if (problem) this.listener.takeConnection(problem);
      // If hurry() or fallSilent() aborted the stream, listen again without a pause.
      if (!this.isOver && !this.current.signal.aborted) await this.pause();
    }
  }

  /** Listen until the stream ends. Return the problem if the stream fails and the state cannot be fetched. */
  async listenOnce() {
    const { signal } = this.current;
    this.waitSeconds = 0;
    const hear = (state) => {
      this.attempt = 0;
      this.take(state);
    };
    try {
      await this.server.listen(hear, () => (this.heardAt = Date.now()), signal);
    } catch (problem) {
      if (signal.aborted) return;
      this.waitSeconds = problem.fields.wait ?? 0;
      return problem.isFinal || !navigator.onLine ? problem : this.ask();
    } finally {
      this.heardAt = 0;
    }
  }

  take(state) {
    this.listener.takeConnection(null);
    this.listener.takeState(state);
  }

  /** Fetch the state once; return any problem. */
  ask() {
    return this.server.state().then((state) => this.take(state), (problem) => problem);
  }

  /** Poll while there is no stream, the page is visible, and a payment is awaited. */
  async poll() {
    const isDue = this.isDoubtful && !document.hidden && this.listener.isWaiting;
    const state = isDue && (await this.server.state().catch(() => null));
    // Ignore the polled state if a stream has opened meanwhile, because the stream's state is newer.
    if (state && this.isDoubtful) this.take(state);
    if (!this.isOver) setTimeout(() => this.poll(), spread(POLL_MILLISECONDS));
  }

  get isDoubtful() {
    return Date.now() - this.heardAt > DOUBT_MILLISECONDS;
  }

  pause() {
    const seconds = Math.max(Math.min(2 ** this.attempt, PAUSE_SECONDS_MAX), this.waitSeconds);
    this.attempt += 1;
    return new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, spread(seconds * 1000));
    });
  }

  /** Reconnect now. */
  hurry() {
    this.attempt = 0;
    this.current.abort();
    this.wake();
  }

  /** Reconnect if the stream is late or a fetch fails. */
  async catchUp() {
    if (this.isOver) return;
    if (this.isDoubtful || (await this.ask())) this.hurry();
  }

  fallSilent() {
    if (!this.isOver) this.listener.takeConnection(new Problem("offline"));
    this.current.abort();
  }
}
