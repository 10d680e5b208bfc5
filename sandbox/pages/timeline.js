// Shows the steps of one payment from the checkout to the bot's message. A *story* is the sandbox's data about one payment.

import { attempt, clockSeconds, find, make, post } from "./parts.js";

const MATCHES = { code: "Matched by code", slip: "Matched, one wrong sign corrected", no_code: "Matched without a code" };

/**
 * The kinds of payments for which BMC's list shows the whole note. Without a webhook, a payment is matched automatically only
 * by a code in this note.
 */
const LISTED_WITH_NOTE = ["donation", "wishlist_payment"];

/** The outcomes of an event that adds no credits, in plain words. */
const OUTCOMES = {
  duplicate: "known already, nothing changed",
  refunded: "refunded, credits taken back",
  recorded: "noted, no money moved",
  test: "a test, the connection works",
  unknown: "unknown kind, kept for the operators",
  unreadable: "unreadable, kept for the operators",
  failed: "not settled, kept for the operators",
  legacy: "an old event, nothing changed",
};

/**
 * Return the meaning of the webhook's answer to one delivery. *story* is the payment that the event reports. It is undefined
 * if the page shows no such payment, for example for a test event.
 */
export function outcomeWords({ status, answer, error }, story) {
  if (status === null) return /no answer within/.test(error ?? "") ? "no answer in time" : "no connection";
  const { outcome, error: refusal } = read(answer);
  const gain = story?.told ? `credited ${gainWords(story.told)}` : "credited";
  if (outcome === "credited") return gain;
  if (outcome === "spooled") return story?.is_credited ? `kept on disk, then ${gain}` : "kept on disk until the database is back";
  if (outcome === "unmatched") return story?.told ? `no user found, later ${gain}` : "no user found, an operator decides";
  if (outcome) return OUTCOMES[outcome] ?? outcome;
  if (status === 401) return refusal === "unsigned" ? "refused, no signature" : "refused, wrong signature";
  return "not accepted";
}

/** Make the timeline of a payment. *onClaim* is called with the *story* when the visitor presses "Send /claim". */
export function timeline(story, onClaim) {
  const rows = [paid(story), delivered(story), ...(isForgotten(story) ? [found(story, onClaim)] : []), matched(story), committed(story), told(story)];
  return make("ol", { className: "timeline" }, ...rows.map(row));
}

/** Return true if Buy Me a Coffee sends no webhook about the payment. Then only Buy Me a Coffee's list shows the payment. */
export function isForgotten({ sending }) {
  return sending === "forgotten";
}

/** The state of a payment in a few words. */
export function standing(story) {
  if (story.is_twice) return { words: "credited twice", kind: "bad" };
  if (story.told) return { words: gainWords(story.told), kind: "good" };
  if (story.is_refunded) return { words: "refunded", kind: "bad" };
  if (story.sending === "given_up") return { words: "not delivered", kind: "bad" };
  return { words: "waiting", kind: "busy" };
}

function row({ state, words, when = "", action = null, below = null }) {
  const sign = make("span", { className: "sign", textContent: { done: "✓", wrong: "!", held: "…", open: "○" }[state], "aria-hidden": "true" });
  return make("li", { className: state }, sign, make("span", {}, words, below), action ?? make("span", { className: "when", textContent: when }));
}

function paid({ at }) {
  return { state: "done", words: "Paid", when: exact(at) };
}

function delivered(story) {
  const { verified_at: verified, sending, status, attempts, next_at: next } = story;
  if (verified) return { state: "done", words: "Signature valid", when: attempts > 1 ? `attempt ${attempts}` : "" };
  const trouble = status === null ? "No connection" : status === 401 ? "Signature refused" : `Answered ${status}`;
  if (sending === "given_up") return { state: "wrong", words: attempts ? `Given up after ${attempts} attempts` : "Not sent, the webhook is off", action: again(story) };
  if (isForgotten(story)) return { state: "wrong", words: "No webhook was sent" };
  if (sending === "retry") return { state: "wrong", words: trouble, when: `again at ${exact(next, { decimals: 0 })}` };
  return { state: "held", words: attempts > 1 ? `Delivering, attempt ${attempts}` : "Delivering" };
}

/** Make the step “Found in the list” of a payment without a webhook. It is done only when the bot has notified the user. */
function found(story, onClaim) {
  const { at, listed_at: listed, told: receipt, is_refunded: isRefunded } = story;
  if (receipt) return { state: "done", words: "Found in Buy Me a Coffee’s list", when: listed ? after(at, listed) : "" };
  if (isRefunded) return { state: "open", words: "Found in Buy Me a Coffee’s list" };
  const decision = isCodeListed(story) ? "" : " An operator may have to decide.";
  const words = `Not found yet. “I paid, but no credits came” (/claim) finds it within seconds; otherwise it takes up to about 25 minutes.${decision}`;
  const button = make("button", { type: "button", className: "small", textContent: "Send /claim", onclick: () => onClaim(story), "data-claims": "" });
  return { state: "held", words, below: button };
}

function isCodeListed({ kind, reading }) {
  return reading === "code" && LISTED_WITH_NOTE.includes(kind);
}

function matched(story) {
  const { is_credited: isCredited, outcome, reading, told: receipt, spooled_at: spooled } = story;
  if (isForgotten(story)) return receipt ? { state: "done", words: matchWords(story) } : { state: "open", words: "Match" };
  if (outcome === "unmatched") return receipt ? { state: "done", words: "Matched by an operator" } : { state: "held", words: "No user found, an operator decides" };
  if (isCredited) return { state: "done", words: MATCHES[reading] };
  if (spooled) return { state: "held", words: "Kept on disk until the database is back" };
  return outcome ? { state: "done", words: OUTCOMES[outcome] ?? outcome } : { state: "open", words: "Match" };
}

/**
 * Return how a payment without a webhook was matched. If the payer of a Shop item or a subscription wrote a code, return only
 * "Matched": BMC's list may lack this code, so the match was made either by the code or by an operator.
 */
function matchWords(story) {
  if (isCodeListed(story)) return MATCHES.code;
  return story.reading === "code" ? "Matched" : "Matched by an operator";
}

function committed({ at, committed_at: answered, told: receipt, spooled_at: spooled }) {
  if (spooled && !receipt) return { state: "open", words: "Commit" };
  if (spooled) return { state: "done", words: "Kept on disk, then committed" };
  if (answered) return { state: "done", words: "Committed", when: after(at, answered) };
  return receipt ? { state: "done", words: "Committed" } : { state: "open", words: "Commit" };
}

function told({ at, told: receipt, is_credited: isCredited, is_refunded: isRefunded }) {
  if (receipt) {
    const again = receipt.repeats ? ", twice in the same words" : "";
    return { state: "done", words: `${receipt.name} told, +${receipt.credits}${again}`, when: after(at, receipt.at) };
  }
  if (isRefunded) return { state: "wrong", words: "Refunded" };
  return isCredited ? { state: "held", words: "The message waits for the bot" } : { state: "open", words: "Message" };
}

/** Make a button that resends an event. Only the demo has this button. Buy Me a Coffee documents no way to resend events. */
function again({ event_id: id }) {
  const send = () => attempt(find("payments-said"), () => post(`/bmc/events/${id}/send-again`), () => "The event is on its way again.");
  return make("button", { type: "button", className: "small", textContent: "Send again", onclick: send });
}

function gainWords({ name, credits }) {
  return `${name} +${credits}`;
}

function exact(seconds, { decimals = 1 } = {}) {
  const when = new Date(seconds * 1000);
  return decimals ? `${clockSeconds(when)}.${Math.floor(when.getMilliseconds() / 100)}` : clockSeconds(when);
}

function after(from, to) {
  const seconds = Math.max(0, to - from);
  return `after ${seconds < 0.1 ? seconds.toFixed(2) : seconds.toFixed(1)} s`;
}

function read(answer) {
  try {
    return JSON.parse(answer) ?? {};
  } catch {
    return {};
  }
}
