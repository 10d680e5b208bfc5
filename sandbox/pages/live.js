// Follows the sandbox's state with one long poll for the whole page.

import { call } from "./parts.js";

const WAIT_SECONDS = 25;
const RETRY_MILLISECONDS = 1500;

/** Resolves when the page is visible. A hidden page does not poll, because a browser allows few connections to one address. */
function shown() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

export class Live {
  /**
   * *who* returns the ids of the people whose data is requested. *onState* gets each new state. *onConnection* gets true if the
   * sandbox answers.
   */
  constructor({ who, onState, onConnection }) {
    this.who = who;
    this.onState = onState;
    this.onConnection = onConnection;
    this.person = null;
    this.asking = null;
  }

  /** Follow the chat of *person* from now on. */
  watch(person) {
    this.person = person;
    this.version = -1;
    this.asking?.abort();
  }

  async run() {
    for (;;) {
      await shown();
      try {
        await this.ask();
      } catch (error) {
        if (error.name === "AbortError") continue;
        this.onConnection(false);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
        this.version = -1;
      }
    }
  }

  async ask() {
    this.asking = new AbortController();
    const { person, version } = this;
    const asked = this.who();
    const wait = version < 0 ? 0 : WAIT_SECONDS;
    const query = new URLSearchParams({ version, wait, people: asked, ...(person ? { person } : {}) });
    const state = await call("GET", `/demo/changes?${query}`, undefined, { signal: this.asking.signal, cache: "no-store" });
    this.onConnection(true);
    if (person !== this.person || state.version === version) return;
    this.version = state.version;
    this.onState({ ...state, asked, person });
  }
}
