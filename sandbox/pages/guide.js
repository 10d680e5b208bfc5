// The guide: shows new visitors the next thing to click.

import { find, memory } from "./parts.js";
import { isForgotten } from "./timeline.js";

const LAST = 5;
const CODE = /\b[2-9a-z]{4}-?[2-9a-z]{4}\b/i;

export class Guide {
  constructor({ app, checkout, people }) {
    this.people = people;
    this.app = app;
    this.checkout = checkout;
    this.copied = null;
    this.paid = null;
    // Maps each person to a message id: the id of the bot's newest message at the time of the person's last payment. The guide
    // ignores the codes in messages up to this id. The person may have paid for one of these codes, even if the note has a typo
    // in the code, or no code.
    this.paidAfter = new Map();
    this.isHidden = memory.get("guide") === "hidden";
    find("guide").hidden = this.isHidden;
    this.target = null;
    find("guide-close").addEventListener("click", () => this.setHidden(true));
    find("guide-open").addEventListener("click", () => this.setHidden(false));
    find("guide-show").addEventListener("click", () => this.showTarget());
  }

  setHidden(isHidden) {
    this.isHidden = isHidden;
    memory.set("guide", isHidden ? "hidden" : "shown");
    this.refresh();
    find(isHidden ? "guide-open" : "guide-close").focus();
  }

  takeCopied(text) {
    this.copied = text;
    this.refresh();
  }

  /** Remember the payment and its note, because the next step of the guide waits for the bot's answer to this payment. */
  takePaid({ note }, { event_id: id }) {
    // The page of a creator, such as /bmc/name, shows only the checkout. It has no phone and no guide.
    if (!this.state?.chat) return;
    this.paid = { note, event: id, last: newest(this.state) };
    this.paidAfter.set(this.people.chosen, this.paid.last);
    this.refresh();
  }

  /** Start the guide again, because the page shows another person's phone. */
  begin() {
    this.paid = null;
    this.copied = null;
  }

  /** Start the guide again and show it, even if the visitor has hidden it. */
  restart() {
    this.begin();
    this.isHidden = false;
    memory.set("guide", "shown");
    this.refresh();
  }

  show(state) {
    this.state = state;
    this.refresh();
  }

  refresh() {
    if (!this.state?.chat) return;
    const { number, words, target, isMarked } = this.step();
    find("guide").hidden = this.isHidden;
    find("guide").classList.remove("pending");
    find("guide-open").hidden = !this.isHidden;
    if (find("guide-text").textContent !== words) find("guide-text").textContent = words;
    find("guide-step").textContent = number > LAST ? "✓" : number ? `${number}/${LAST}` : "";
    find("guide").classList.toggle("done", number > LAST);
    find("guide-show").hidden = !target;
    this.target = target;
    this.mark(this.isHidden || !isMarked ? null : target);
  }

  step() {
    const code = openCode(this.state, this.paidAfter.get(this.people.chosen) ?? 0);
    if (this.paid && !code) return this.stepAfterPaying();
    const { operator } = this.people;
    if (operator) return step(0, `${operator.first_name} is an operator. Pay without a code: the bot lists it.`, find("checkout"), { isMarked: false });
    if (!code) return this.stepToCode();
    if (this.checkout.hasCode(code)) return step(4, "Pay. No money moves here.", find("pay-button"));
    if (this.copied === code) return step(3, "Paste the code into the note of the payment.", find("paste"));
    if (this.app.isOpen) return step(2, "Copy the code.", find("app"));
    return step(2, "Copy the code.", find("messages").querySelector(`[data-copies="${code}"]`));
  }

  stepToCode() {
    const { chat } = this.state;
    if (chat.standing !== "open") return step(1, "Press Start.", find("start"));
    if (!chat.messages.some(({ from }) => from === "bot")) return step(1, "The bot is starting…", null);
    if (this.app.isOpen) return step(1, "Pick an amount, then press the button below it.", find("main-button").hidden ? find("app") : find("main-button"));
    return step(1, "Open the Mini App.", chat.menu_button.type === "web_app" ? find("menu") : lastOf("[data-opens-app]") ?? find("messages"));
  }

  stepAfterPaying() {
    const log = find("deliveries").firstElementChild;
    const pulled = this.state.plugs.find((plug) => plug.pulled);
    const { story } = this;
    if (story && isForgotten(story)) return this.stepWithoutWebhook(story, pulled);
    const isTold = newest(this.state) > this.paid.last;
    const isDelivered = this.state.deliveries.some(({ event_id: id, status }) => id === this.paid.event && status >= 200 && status < 300);
    if (pulled && !isTold) return step(5, unplugged(pulled.name, isDelivered), find("stage"), { isMarked: false });
    if (!isDelivered) return step(5, "Watch the webhook.", log ?? find("webhook"));
    if (isTold) return step(6, "Done: the bot has answered. Now pull a plug and pay again.", find("stage"), { isMarked: false });
    if (this.isSpooled) return step(5, "Kept on disk. The webhook now looks for the database.", find("payments-card"), { isMarked: false });
    if (CODE.test(this.paid.note)) return step(5, "Delivered. Watch the phone.", log);
    return step(5, "There was no code: the bot lists it for the operators.", this.people.operatorButton);
  }

  stepWithoutWebhook({ told, reading }, pulled) {
    if (told) return step(6, "Done: found without a webhook. Pay again, or pull a plug.", find("stage"), { isMarked: false });
    if (pulled) return step(5, unplugged(pulled.name, true), find("stage"), { isMarked: false });
    const isClaimed = this.state.chat.messages.some(({ from, text, message_id: id }) => from === "user" && text === "/claim" && id > this.paid.last);
    if (!isClaimed) return step(5, "No webhook was sent. Tell the bot that you paid.", document.querySelector("[data-claims]") ?? find("payments-card"));
    return step(5, reading === "code" ? "Answer the bot, and it finds your payment." : "Answer the bot. Then an operator decides.", find("messages"));
  }

  /** The sandbox's data about the visitor's last payment; undefined if the sandbox no longer has data about it. */
  get story() {
    return this.state.tally.payments.find(({ event_ids: ids }) => ids.includes(this.paid.event));
  }

  /** True while the webhook keeps the payment on its disk. This ends some seconds after the database is connected again. */
  get isSpooled() {
    const { story } = this;
    return Boolean(story?.spooled_at && !story.is_credited);
  }

  mark(target) {
    for (const other of document.querySelectorAll(".guided")) if (other !== target) other.classList.remove("guided");
    target?.classList.add("guided");
  }

  showTarget() {
    this.target?.scrollIntoView({ block: this.target.offsetHeight > window.innerHeight / 2 ? "start" : "center", behavior: "smooth" });
    this.target?.focus({ preventScroll: true });
  }
}

function unplugged(name, isDelivered) {
  // While the database is unplugged, the webhook waits a moment before it keeps the payment on its disk and answers.
  // Until then, do not ask the visitor to plug the database in.
  const isAsking = name === "database" && !isDelivered;
  return `The ${name} is unplugged. ${isAsking ? "The webhook waits a moment." : "Plug it in again."}`;
}

function step(number, words, target, { isMarked = true } = {}) {
  return { number, words, target, isMarked };
}

/** The newest code in the chat after the message *paidAfter*; null if there is none or it was used in a payment. */
function openCode({ chat, payments }, paidAfter) {
  const since = chat.messages.filter(({ message_id: id }) => id > paidAfter);
  const buttons = since.map(({ reply_markup: markup }) => copyButton(markup)).filter(Boolean);
  const code = buttons.at(-1)?.copy_text.text;
  return code && !payments.some(({ words }) => words.includes(code)) ? code : null;
}

function copyButton(markup) {
  return (markup?.inline_keyboard ?? []).flat().find((button) => button.copy_text);
}

function newest({ chat }) {
  return Math.max(0, ...chat.messages.filter(({ from }) => from === "bot").map(({ message_id: id }) => id));
}

function lastOf(selector) {
  return [...document.querySelectorAll(selector)].at(-1) ?? null;
}
