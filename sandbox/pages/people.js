// Chooses the person whose phone is shown. The *cast* is the demo's list of people. The page presses Start for each of them.

import { call, find, make, memory, post, showList } from "./parts.js";

export class People {
  /** *onChoice* gets the id of the chosen person. */
  constructor(onChoice) {
    this.onChoice = onChoice;
    this.chosen = idInAddress();
    this.cast = [];
    this.read = JSON.parse(memory.get("read") ?? "{}");
  }

  /** The chosen person if this person is an operator; otherwise undefined. */
  get operator() {
    return this.cast.find(({ id, is_operator: isOperator }) => isOperator && id === this.chosen);
  }

  /** The id of the chosen person, or of the first supporter if an operator is chosen. */
  get supporter() {
    return this.operator ? this.cast[0].id : this.chosen;
  }

  /** Set the people to show. If the demo has started over, choose the person who replaces the chosen person. */
  setCast(cast) {
    const before = this.cast;
    if (JSON.stringify(before) === JSON.stringify(cast)) return;
    this.cast = cast;
    const heir = cast[before.findIndex(({ id }) => id === this.chosen)];
    if (this.chosen === null) this.choose(cast[0].id);
    else if (heir && heir.id !== this.chosen) this.choose(heir.id);
  }

  /** The ids of the people who have a button on the page. The page asks the sandbox only about these people. */
  get shown() {
    return [...new Set([...this.cast.map(({ id }) => id), ...(this.chosen ? [this.chosen] : [])])];
  }

  get operatorButton() {
    const operator = this.cast.find(({ is_operator: isOperator }) => isOperator);
    return [...find("people").children].find(({ dataset }) => dataset.key === String(operator?.id));
  }

  /**
   * Create the people in `cast` who have not pressed Start, and press Start for them. A restarted sandbox knows no people.
   *
   * The page asked the sandbox about the ids *asked*; *known* is the answer. Do nothing if *asked* lacks an id of `cast`.
   */
  async bring(known, asked) {
    if (this.isBringing || this.cast.some(({ id }) => !asked.includes(id)) || !this.isAnyNew(known)) return;
    this.isBringing = true;
    try {
      // The list *known* may be old: this page may have sent a Start since the sandbox made the list. Ask for a new list, so that no
      // person presses Start twice.
      const { people } = await call("GET", `/demo/changes?people=${this.shown}`);
      const standings = standingsOf(people);
      for (const person of this.cast) await this.meet(person, standings.get(person.id));
    } catch {
      // Ignore a failed request here: the next state calls `bring` again.
    } finally {
      this.isBringing = false;
    }
  }

  isAnyNew(known) {
    const standings = standingsOf(known);
    return this.cast.some(({ id }) => isNew(standings.get(id)));
  }

  async meet({ role, is_operator, ...person }, standing) {
    if (!isNew(standing)) return;
    // Send the name even if the sandbox knows the person, because the person may have no name yet: the sandbox creates a person
    // without a name when a page asks for an unknown person's chat.
    await post("/telegram/users", person);
    await post(`/telegram/chats/${person.id}/messages`, { text: "/start" });
  }

  choose(id) {
    this.chosen = id;
    history.replaceState(null, "", id === this.cast[0]?.id ? location.pathname : `?person=${id}`);
    this.onChoice(id);
  }

  show(people) {
    const byId = new Map(people.map((person) => [person.id, person]));
    const others = byId.has(this.chosen) && !this.cast.some(({ id }) => id === this.chosen) ? [byId.get(this.chosen)] : [];
    const rows = [...this.cast, ...others].map((person) => this.row({ ...person, ...byId.get(person.id) }));
    showList(find("people"), rows, ({ id }) => id, (row) => this.button(row));
  }

  row({ id, first_name: name, role, newest_from_bot: newest }) {
    const isChosen = id === this.chosen;
    // Mark the bot's newest message as read if the chat is shown, or if the message is the first one in the chat. The first
    // message is the answer to Start, so it is not news.
    if (newest && (isChosen || !(id in this.read))) this.markRead(id, newest);
    return { id, name, role: role ?? `user ${id}`, isChosen, hasNews: newest > this.read[id] };
  }

  markRead(id, newest) {
    if (this.read[id] === newest) return;
    this.read[id] = newest;
    memory.set("read", JSON.stringify(this.read));
  }

  button({ id, name, role, isChosen, hasNews }) {
    const news = hasNews ? make("span", { className: "news", role: "img", "aria-label": "new messages" }) : null;
    const words = make("span", {}, make("b", { textContent: name }), make("small", { textContent: role }));
    return make("button", { type: "button", "aria-pressed": isChosen, onclick: () => this.choose(id) }, words, news);
  }
}

function standingsOf(people) {
  return new Map(people.map(({ id, standing }) => [id, standing]));
}

/** Return true if a person has not pressed Start. *standing* is a value of `Standing`, or undefined for an unknown person. */
function isNew(standing) {
  return standing === undefined || standing === "stranger";
}

function idInAddress() {
  const id = Number(new URLSearchParams(location.search).get("person"));
  return Number.isInteger(id) && id > 0 ? id : null;
}
