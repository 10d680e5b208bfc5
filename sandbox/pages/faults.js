// What can go wrong, as switches. Each is on until it has spoilt what it is for.

import { attempt, call, find, make, post } from "./parts.js";

const BMC = [
  ["twice", "comes twice"],
  ["late", "comes five seconds late"],
  ["out_of_order", "is overtaken by the one after it"],
  ["only_refund_first", "is overtaken by its own refund"],
  ["altered", "is altered on the way"],
  ["wrong_signature", "is signed with a wrong secret"],
  ["no_signature", "is not signed at all"],
];
const TELEGRAM = [
  ["too_many_requests", "is refused for two seconds: too many", { retry_after: 2 }],
  ["server_error", "meets an error of Telegram’s server", {}],
  ["not_json", "is answered by a broken gateway", {}],
  ["reset", "arrives, but the connection breaks before the answer", { takes_effect: true }],
];

export class Faults {
  constructor() {
    this.switches = [
      ...BMC.map(([kind, words]) => this.add("bmc", kind, words, {})),
      ...TELEGRAM.map(([kind, words, how]) => this.add("telegram", kind, words, { method: "sendMessage", times: 1, ...how })),
    ];
  }

  add(party, kind, words, how) {
    const box = make("input", { type: "checkbox", role: "switch", name: kind });
    box.addEventListener("change", () => this.toggle(party, kind, box.checked, how));
    find(`${party}-faults`).append(make("label", { className: "switch" }, box, make("span", { textContent: words })));
    return { party, kind, box };
  }

  async toggle(party, kind, isOn, how) {
    const path = `/${party}/misbehave`;
    await attempt(find("faults-said"), () => (isOn ? post(path, { kind, ...how }) : call("DELETE", `${path}?kind=${kind}`)));
  }

  show({ bmc_faults: bmc, telegram_faults: telegram }) {
    const on = { bmc: new Set(bmc.map(({ kind }) => kind)), telegram: new Set(telegram.map(({ kind }) => kind)) };
    for (const { party, kind, box } of this.switches) box.checked = on[party].has(kind);
  }
}
