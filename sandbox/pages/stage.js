// The counter of payments, the switches that unplug a service, and the button that starts the demo over.

import { attempt, find, make, post } from "./parts.js";

const COUNTS = ["paid", "credited", "twice", "waiting"];
const PLUGS = {
  database: ["Unplug the database", "Payments are kept on disk and credited later."],
  webhook: ["Unplug the webhook", "Buy Me a Coffee gets no connection and tries again."],
  bot: ["Unplug the bot", "Credits are booked at once. The message comes later."],
};

export class Stage {
  /** *onStartOver* is called after the demo has started over. */
  constructor({ onStartOver }) {
    this.onStartOver = onStartOver;
    this.plugs = new Map();
    find("start-over").addEventListener("click", () => this.startOver());
  }

  show({ tally, plugs }) {
    for (const name of COUNTS) find(`count-${name}`).textContent = tally[name];
    find("counter").classList.toggle("wrong", tally.twice > 0);
    find("counter").classList.toggle("busy", tally.waiting > 0);
    for (const { name, pulled } of plugs) {
      const plug = this.plugs.get(name) ?? this.add(name);
      // Skip a switch whose request still runs. The received state may be older than the click, and would reset the switch.
      if (!plug.isBusy) plug.box.checked = pulled;
    }
  }

  add(name) {
    const [label, hint] = PLUGS[name];
    const box = make("input", { type: "checkbox", role: "switch", name: `plug-${name}`, "aria-describedby": `plug-${name}-hint` });
    const plug = { name, box, isBusy: false };
    box.addEventListener("change", () => this.toggle(plug));
    const words = make("label", { className: "switch" }, box, make("span", { textContent: label }));
    find("plugs").append(make("div", { className: "plug" }, words, make("p", { id: `plug-${name}-hint`, className: "hint", textContent: hint })));
    this.plugs.set(name, plug);
    return plug;
  }

  async toggle(plug) {
    plug.isBusy = true;
    await attempt(find("stage-said"), () => post("/demo/plugs", { name: plug.name, pulled: plug.box.checked }));
    plug.isBusy = false;
  }

  async startOver() {
    const button = find("start-over");
    if (button.hasAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true");
    const done = await attempt(find("stage-said"), () => post("/demo/start-over"), ({ cast }) => words(cast));
    button.removeAttribute("aria-disabled");
    if (done) this.onStartOver();
  }
}

function words(cast) {
  const names = cast.filter(({ is_operator: isOperator }) => !isOperator).map(({ first_name: name }) => name);
  return `${names.join(" and ")} are new users. The ledger forgets nothing.`;
}
