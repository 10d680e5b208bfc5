// Chooses the person whose phone is shown. A few people exist from the start and have already pressed Start.

import { find, make, memory, post, showList } from "./parts.js";

const READY = [
  { id: 1001, first_name: "Anna", username: "anna", language_code: "en", role: "supporter, English" },
  { id: 1002, first_name: "Богдан", username: "bohdan", language_code: "uk", role: "supporter, Ukrainian" },
  { id: 1000001, first_name: "Olha", username: "olha", language_code: "en", role: "operator" },
];
const OPERATOR = READY[2];

export class People {
  /** *onChoice* gets the id of the chosen person. */
  constructor(onChoice) {
    this.onChoice = onChoice;
    this.chosen = idInAddress() ?? READY[0].id;
    this.read = JSON.parse(memory.get("read") ?? "{}");
  }

  get isOperator() {
    return this.chosen === OPERATOR.id;
  }

  /** The ids of the people with a button; the page needs no news of others. */
  get shown() {
    return [...new Set([...READY.map(({ id }) => id), this.chosen])];
  }

  get operatorButton() {
    return [...find("people").children].find(({ dataset }) => dataset.key === String(OPERATOR.id));
  }

  /** Create the ready people and press Start for them, unless that is done. A restarted sandbox knows no people. */
  async bring(known) {
    if (this.isBringing) return;
    this.isBringing = true;
    const standings = new Map(known.map(({ id, standing }) => [id, standing]));
    try {
      for (const person of READY) await this.meet(person, standings.get(person.id));
    } catch {
      // The next state tries again.
    } finally {
      this.isBringing = false;
    }
  }

  async meet({ role, ...person }, standing) {
    if (standing !== undefined && standing !== "stranger") return;
    if (standing === undefined) await post("/telegram/users", person);
    await post(`/telegram/chats/${person.id}/messages`, { text: "/start" });
  }

  choose(id) {
    this.chosen = id;
    history.replaceState(null, "", id === READY[0].id ? location.pathname : `?person=${id}`);
    this.onChoice(id);
  }

  show(people) {
    const byId = new Map(people.map((person) => [person.id, person]));
    const others = byId.has(this.chosen) && !READY.some(({ id }) => id === this.chosen) ? [byId.get(this.chosen)] : [];
    const rows = [...READY, ...others].map((person) => this.row({ ...person, ...byId.get(person.id) }));
    showList(find("people"), rows, ({ id }) => id, (row) => this.button(row));
  }

  row({ id, first_name: name, role, newest_from_bot: newest }) {
    const isChosen = id === this.chosen;
    // The answer to a person's own Start is not news.
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

function idInAddress() {
  const id = Number(new URLSearchParams(location.search).get("person"));
  return Number.isInteger(id) && id > 0 ? id : null;
}
