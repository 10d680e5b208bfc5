// The webhook's deliveries with their answers, and the actions for past payments.

import { attempt, clockSeconds, find, make, money, post, say, showList } from "./parts.js";
import { outcomeWords, standing, timeline } from "./timeline.js";

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
  /** *onClaim* gets the sandbox's data about a payment when the visitor presses "Send /claim" for this payment. */
  constructor({ onClaim }) {
    this.onClaim = onClaim;
    find("test").elements.type.append(...TEST_TYPES.map((type) => make("option", { textContent: type })));
    find("test").addEventListener("submit", (event) => this.sendTest(event));
    find("enable").addEventListener("click", () => attempt(find("test-said"), () => post("/bmc/webhook/enable")));
  }

  show({ webhook, deliveries, payments, tally }) {
    const byEvent = new Map(tally.payments.flatMap((story) => story.event_ids.map((id) => [id, story])));
    // All payments of a subscription have the same id `of`, and this map keeps only the last of them. `tally.payments` begins
    // with the newest payment. Reverse the list, so that the map keeps the newest payment.
    const byPayment = new Map(tally.payments.map((story) => [story.of, story]).reverse());

    find("webhook-state").textContent = webhook.enabled ? "on" : "switched off after too many failures";
    find("webhook-state").classList.toggle("bad", !webhook.enabled);
    find("webhook-state").title = `${webhook.url}, ${webhook.failures_in_a_row} failures in a row`;
    find("enable").hidden = webhook.enabled;
    find("no-deliveries").hidden = deliveries.length > 0;
    showList(find("deliveries"), deliveries.map((sent) => ({ ...sent, words: outcomeWords(sent, byEvent.get(sent.event_id)) })), ({ number }) => number, delivery);
    find("no-payments").hidden = payments.length > 0;
    const rows = payments.map((paid, index) => ({ ...paid, story: byPayment.get(paid.transaction_id ?? paid.psp_id), isNewest: index === 0 }));
    showList(find("payments"), rows, (paid) => paid.transaction_id ?? paid.psp_id, (paid, old) => payment(paid, old, this.onClaim));
  }

  async sendTest(event) {
    event.preventDefault();
    const type = event.target.elements.type.value;
    await attempt(find("test-said"), () => post("/bmc/test-event", { type }), (sent) => `Answered ${sent.status ?? sent.error}.`);
  }
}

function delivery(sent, old) {
  const isGood = sent.status >= 200 && sent.status < 300;
  const chip = make("span", { className: `chip ${isGood ? "good" : "bad"}`, textContent: sent.status ?? "✕" });
  const facts = [clockSeconds(sent.at), sent.type, ...(sent.attempt > 1 ? [`attempt ${sent.attempt}`] : []), duration(sent.milliseconds)];
  const summary = make("summary", {},
    make("span", { className: "outcome" }, chip, make("b", { textContent: sent.words })),
    make("span", { className: "quiet", textContent: facts.join(" · ") }));
  const parts = [["Event", `#${sent.event_id}, attempt ${sent.attempt}`], ["Sent", pretty(sent.body)], ["Signature", sent.signature ?? "none"], ["Answered", sent.answer ?? sent.error ?? ""]];
  const details = parts.map(([name, text]) => make("div", {}, make("h3", { textContent: name }), make("pre", { textContent: text, tabIndex: 0 })));
  return make("li", { className: old ? "" : "new" }, make("details", { open: isOpen(old) }, summary, ...details));
}

function duration(milliseconds) {
  return milliseconds < 1000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

function isOpen(old) {
  return old?.querySelector("details").open ?? false;
}

function payment(paid, old, onClaim) {
  const words = make("span", { className: "paid" },
    make("b", { textContent: money(paid.amount, paid.currency) }), ` ${NAMES[paid.kind]}${paid.name ? `, ${paid.name}` : ""} `,
    // Show no status for a payment that succeeded, because its timeline says more.
    paid.status === "succeeded" ? null : make("span", { className: `chip ${paid.status === "active" ? "good" : "bad"}`, textContent: paid.status }));
  const head = make("div", { className: "head" }, words, make("span", { className: "row" }, ...actions(paid)));
  const li = make("li", {}, head, ...(paid.story ? [journey(paid, old, onClaim)] : []));
  li.isNewest = paid.isNewest;
  return li;
}

/**
 * Make the timeline of a payment. It is open at first if the payment is the newest, and closes when a newer payment comes.
 *
 * *old* is the earlier element of the payment, if any. It shows whether the visitor has opened or closed the timeline.
 */
function journey({ story, isNewest, kind }, old, onClaim) {
  const { words, kind: look } = standing(story);
  const summary = make("summary", {}, "Timeline ", make("span", { className: `chip ${look}`, textContent: words }));
  return make("details", { open: old?.isNewest === isNewest ? isOpen(old) : isNewest }, summary, timeline({ ...story, kind }, onClaim));
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
    await attempt(find("payments-said"), () => post(path, body), ({ event_id: id, is_sent: isSent }) => `Event ${id} ${isSent ? "is on its way" : "was not sent"}.`);
  };
  return make("button", { type: "button", className: "small", textContent: text, onclick: act });
}

function askForCode() {
  const dialog = find("ask");
  find("ask-title").textContent = "Which code did the bot show you?";
  find("ask-text").value = "";
  dialog.returnValue = "";
  // Enter presses the first submit button of the form. So Cancel is not a submit button, and Enter presses the button OK.
  find("ask-cancel").onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => {
    const settle = () => resolve(dialog.returnValue === "ok" && find("ask-text").value.trim() ? { answer: find("ask-text").value.trim() } : null);
    dialog.addEventListener("close", settle, { once: true });
  });
}
