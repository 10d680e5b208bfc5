// Switches that turn on faults. When a fault has happened, its switch is turned off.

import { attempt, call, find, make, post } from "./parts.js";

const BMC = [
  ["twice", "comes twice"],
  ["late", "comes five seconds late"],
  ["out_of_order", "comes after the next one: pay twice"],
  ["only_refund_first", "comes after its own refund: pay, then refund it"],
  ["altered", "is altered on the way"],
  ["wrong_signature", "is signed with a wrong secret"],
  ["no_signature", "is not signed at all"],
  ["forgotten", "is forgotten: no webhook is sent"],
];
const TELEGRAM = [
  ["too_many_requests", "is refused for two seconds: too many requests", { retry_after: 2 }],
  ["server_error", "gets an error from Telegram’s server", {}],
  ["not_json", "gets an answer from a broken gateway", {}],
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
    const one = { party, kind, box, how, isBusy: false };
    box.addEventListener("change", () => this.toggle(one));
    find(`${party}-faults`).append(make("label", { className: "switch" }, box, make("span", { textContent: words })));
    return one;
  }

  async toggle(one) {
    const path = `/${one.party}/misbehave`;
    one.isBusy = true;
    await attempt(find("faults-said"), () => (one.box.checked ? post(path, { kind: one.kind, ...one.how }) : call("DELETE", `${path}?kind=${one.kind}`)));
    one.isBusy = false;
  }

  show({ bmc_faults: bmc, telegram_faults: telegram }) {
    const on = { bmc: new Set(bmc.map(({ kind }) => kind)), telegram: new Set(telegram.map(({ kind }) => kind)) };
    // Skip a switch whose request still runs. The received state may be older than the click, and would turn the switch back.
    for (const { party, kind, box, isBusy } of this.switches) if (!isBusy) box.checked = on[party].has(kind);
  }
}
