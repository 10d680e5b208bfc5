// The webhook's deliveries with their answers, and the actions for past payments.

import { attempt, find, make, money, post, say, showList } from "./parts.js";

const KINDS = ["donation", "extra_purchase", "commission_order", "wishlist_payment"];
const SUBSCRIPTIONS = ["recurring_donation", "membership"];
const NAMES = {
  donation: "One-time support", extra_purchase: "Shop item", commission_order: "Commission", wishlist_payment: "Wishlist",
  recurring_donation: "Monthly support", membership: "Membership",
};
const TEST_TYPES = [
  ...KINDS.flatMap((kind) => [`${kind}.created`, ...(kind === "extra_purchase" ? [`${kind}.updated`] : []), `${kind}.refunded`]),
  ...SUBSCRIPTIONS.flatMap((kind) => ["started", "updated", "cancelled", "paused"].map((what) => `${kind}.${what}`)),
];

export class Webhook {
  constructor() {
    find("test").elements.type.append(...TEST_TYPES.map((type) => make("option", { textContent: type })));
    find("test").addEventListener("submit", (event) => this.sendTest(event));
    find("enable").addEventListener("click", () => attempt(find("test-said"), () => post("/bmc/webhook/enable")));
  }

  show({ webhook, deliveries, payments }) {
    find("webhook-state").textContent = webhook.enabled ? "on" : "switched off after too many failures";
    find("webhook-state").classList.toggle("bad", !webhook.enabled);
    find("webhook-state").title = `${webhook.url}, ${webhook.failures_in_a_row} failures in a row`;
    find("enable").hidden = webhook.enabled;
    find("no-deliveries").hidden = deliveries.length > 0;
    showList(find("deliveries"), deliveries, ({ number }) => number, delivery);
    find("no-payments").hidden = payments.length > 0;
    showList(find("payments"), payments, (paid) => paid.transaction_id ?? paid.psp_id, payment);
  }

  async sendTest(event) {
    event.preventDefault();
    const type = event.target.elements.type.value;
    await attempt(find("test-said"), () => post("/bmc/test-event", { type }), (sent) => `Answered ${sent.status ?? sent.error}.`);
  }
}

function delivery(sent) {
  const isGood = sent.status >= 200 && sent.status < 300;
  const chip = make("span", { className: `chip ${isGood ? "good" : "bad"}`, textContent: sent.status ?? "no answer" });
  const summary = make("summary", {},
    make("time", { textContent: new Date(sent.at).toLocaleTimeString() }),
    make("b", { textContent: sent.type }),
    make("span", { className: "quiet", textContent: `#${sent.event_id}${sent.attempt > 1 ? `, attempt ${sent.attempt}` : ""}` }),
    chip, make("span", { className: "quiet", textContent: `${sent.milliseconds} ms` }));
  const parts = [["Sent", pretty(sent.body)], ["Signature", sent.signature ?? "none"], ["Answered", sent.answer ?? sent.error ?? ""]];
  const details = parts.map(([name, text]) => make("div", {}, make("h3", { textContent: name }), make("pre", { textContent: text, tabIndex: 0 })));
  return make("li", {}, make("details", {}, summary, ...details));
}

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

function payment(paid) {
  const words = make("span", { className: "paid" },
    make("b", { textContent: money(paid.amount, paid.currency) }), ` ${NAMES[paid.kind]}${paid.name ? `, ${paid.name}` : ""} `,
    make("span", { className: `chip ${paid.status === "succeeded" || paid.status === "active" ? "good" : "bad"}`, textContent: paid.status }));
  return make("li", {}, words, make("span", { className: "row" }, ...actions(paid)));
}

function actions(paid) {
  if (paid.psp_id) {
    const path = `/bmc/subscriptions/${paid.psp_id}`;
    return paid.status === "active" ? [action(`${path}/renew`, "Renew"), action(`${path}/pause`, "Pause"), action(`${path}/cancel`, "Cancel")] : [];
  }
  const path = `/bmc/payments/${paid.transaction_id}`;
  const refund = paid.status === "refunded" ? [] : [action(`${path}/refund`, "Refund")];
  return paid.kind === "extra_purchase" ? [...refund, action(`${path}/answer`, "Answer", askForCode)] : refund;
}

function action(path, text, ask = async () => ({})) {
  const act = async () => {
    const body = await ask();
    if (body === null) return;
    say(find("payments-said"), "");
    await attempt(find("payments-said"), () => post(path, body), ({ event_id: id }) => `Event ${id} is on its way.`);
  };
  return make("button", { type: "button", className: "small", textContent: text, onclick: act });
}

function askForCode() {
  const dialog = find("ask");
  find("ask-title").textContent = "Which code did the bot show you?";
  find("ask-text").value = "";
  dialog.returnValue = "";
  // Cancel is not a submit button: Enter presses the first submit button of a form.
  find("ask-cancel").onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => {
    const settle = () => resolve(dialog.returnValue === "ok" && find("ask-text").value.trim() ? { answer: find("ask-text").value.trim() } : null);
    dialog.addEventListener("close", settle, { once: true });
  });
}
