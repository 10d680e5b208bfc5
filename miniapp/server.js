// Ask the bot service, and listen to it. Whatever goes wrong becomes a Problem, whose name has a sentence in every language.

const API = "../api/";
const ANSWER_MILLISECONDS = 20_000;
/** The server says something every 15 seconds; a stream that is silent for longer is dead. */
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
    listen: (hear, signal) => listen(headers, hear, signal),
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
async function listen(headers, hear, signal) {
  const aborting = new AbortController();
  const abort = () => aborting.abort();
  signal.addEventListener("abort", abort);
  let timer = setTimeout(abort, FIRST_WORD_MILLISECONDS);
  const onBytes = () => {
    clearTimeout(timer);
    timer = setTimeout(abort, SILENCE_MILLISECONDS);
  };
  try {
    const answer = await fetch(`${API}events`, { cache: "no-store", headers, signal: aborting.signal });
    if (!answer.ok) throw await problemOf(answer);
    await readEvents(answer.body, hear, onBytes);
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
 *
 * *onState* gets each state; *onConnection* gets null while all is well, or the problem.
 */
export function keepListening(server, { onState, onConnection }) {
  let attempt = 0;
  let isStopped = false;
  let current = new AbortController();
  let wake = () => {};

  const hear = (state) => {
    attempt = 0;
    onConnection(null);
    onState(state);
  };
  const hurry = () => {
    attempt = 0;
    current.abort();
    wake();
  };
  const fail = async (problem) => {
    if (problem.isFinal) isStopped = true;
    else if (problem.name === "offline" && navigator.onLine) problem = await askInstead(server, onState, problem);
    onConnection(problem);
    return problem;
  };

  const run = async () => {
    while (!isStopped) {
      current = new AbortController();
      let problem = null;
      try {
        await server.listen(hear, current.signal);
      } catch (error) {
        problem = current.signal.aborted ? null : await fail(error);
      }
      if (isStopped) return;
      const seconds = Math.max(PAUSES_SECONDS[Math.min(attempt, PAUSES_SECONDS.length - 1)], problem?.fields.wait ?? 0);
      attempt += 1;
      // A stream that ended in order, or that we ended ourselves, is no failure yet.
      const pause = current.signal.aborted ? 0 : seconds * (0.75 + Math.random() / 2);
      await new Promise((resolve) => {
        wake = resolve;
        setTimeout(resolve, pause * 1000);
      });
    }
  };

  window.addEventListener("online", hurry);
  window.addEventListener("offline", () => {
    if (!isStopped) onConnection(new Problem("offline"));
    current.abort();
  });
  document.addEventListener("visibilitychange", () => {
    // A stream that slept with the page may be dead without a word.
    if (!document.hidden) hurry();
  });
  run();
  return { hurry };
}

async function askInstead(server, onState, problem) {
  try {
    onState(await server.state());
    return null;
  } catch (error) {
    return error instanceof Problem ? error : problem;
  }
}
