// The checkout page.

import { attempt, find, make, money, post } from "./parts.js";

const AMOUNTS = ["5", "10", "25", "50"];
const FLASH_MILLISECONDS = 1200;
const CODE_SIGNS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ";

export class Checkout {
  /** *onPaid* gets the order and the sandbox's answer to it. *onChange* is called for every change of the form. */
  constructor({ onPaid, onChange }) {
    this.onPaid = onPaid;
    this.slug = slugOf(location.pathname) ?? "demo";
    this.form = find("pay");
    this.clipboard = "";
    this.mistyped = null;
    find("amounts").append(...AMOUNTS.map((amount) => make("button", { type: "button", textContent: amount, onclick: () => this.setAmount(amount) })));
    this.form.addEventListener("input", () => {
      this.refresh();
      onChange();
    });
    this.form.addEventListener("submit", (event) => this.pay(event));
    // Ignore the second click of a double click. It may come after the first payment is complete, and would make a second
    // payment.
    find("pay-button").addEventListener("click", (event) => event.detail > 1 && event.preventDefault());
    find("paste").addEventListener("click", () => this.paste(this.clipboard));
    find("mistype").addEventListener("click", () => this.paste((this.mistyped = withOneWrongSign(this.clipboard))));
    this.onChange = onChange;
    this.refresh();
  }

  get note() {
    return find("note").value;
  }

  /** Open the creator's page that the link names. Return false if the link leads to another site. */
  open(url) {
    const link = new URL(url, location.href);
    const isOurs = ["localhost", "127.0.0.1", location.hostname].includes(link.hostname) && slugOf(link.pathname);
    const isReal = /(^|\.)buymeacoffee\.com$/.test(link.hostname) && link.pathname.length > 1;
    if (!isOurs && !isReal) return false;
    this.slug = slugOf(link.pathname) ?? link.pathname.slice(1).split("/")[0];
    this.refresh();
    this.flash();
    return true;
  }

  flash() {
    const card = find("checkout");
    card.classList.add("flash");
    setTimeout(() => card.classList.remove("flash"), FLASH_MILLISECONDS);
    card.scrollIntoView({ block: "nearest", behavior: "smooth" });
    find("note").focus({ preventScroll: true });
  }

  /** Take the text that the phone copied, and show it on the paste button. */
  takeCopied(text) {
    this.clipboard = text;
    this.refresh();
  }

  /** Return whether the note contains *code*, either correct or with the wrong character that the button `mistype` inserts. */
  hasCode(code) {
    return this.note.includes(code) || (this.clipboard === code && this.hasSlip);
  }

  get hasSlip() {
    return Boolean(this.mistyped) && this.note.includes(this.mistyped);
  }

  paste(text) {
    find("note").value = `${this.note} ${text}`.trim();
    this.refresh();
    this.onChange();
    find("pay-button").focus();
  }

  setAmount(amount) {
    this.form.elements.amount.value = amount;
    this.refresh();
    this.onChange();
  }

  refresh() {
    const { amount, currency, kind, answer } = this.form.elements;
    for (const tile of find("amounts").children) tile.setAttribute("aria-pressed", String(tile.textContent === amount.value.trim()));
    const asksQuestion = kind.value === "extra_purchase";
    find("question").hidden = !asksQuestion;
    answer.disabled = !asksQuestion;
    const needsCode = this.clipboard && !this.hasCode(this.clipboard);
    find("paste").hidden = !needsCode;
    find("mistype").hidden = !needsCode || !/[0-9A-Z]/.test(this.clipboard);
    find("paste").textContent = `Paste ${this.clipboard}`;
    find("checkout-title").textContent = `Support ${this.slug}`;
    find("pay-button").textContent = `Support with ${money(amount.value.trim() || "…", currency.value)}`;
  }

  async pay(event) {
    event.preventDefault();
    const button = find("pay-button");
    if (button.hasAttribute("aria-disabled")) return;
    const order = Object.fromEntries(new FormData(this.form).entries());
    button.setAttribute("aria-disabled", "true");
    const paid = await attempt(find("pay-said"), () => post(`/bmc/${this.slug}/checkout`, order), ({ is_sent: isSent }) => `Thank you! ${isSent ? "The webhook is on its way." : "But no webhook was sent."}`);
    button.removeAttribute("aria-disabled");
    if (!paid) return;
    find("note").value = "";
    this.clipboard = "";
    this.mistyped = null;
    this.refresh();
    this.onPaid(order, paid);
  }

  /** Empty the form, as for a new visitor. */
  reset() {
    this.form.reset();
    this.clipboard = "";
    this.mistyped = null;
    find("pay-said").textContent = "";
    this.refresh();
  }
}

/** Return the code with its third character replaced by the next one of `CODE_SIGNS`. */
function withOneWrongSign(code) {
  const wrong = CODE_SIGNS[(CODE_SIGNS.indexOf(code[2]) + 1) % CODE_SIGNS.length];
  return `${code.slice(0, 2)}${wrong}${code.slice(3)}`;
}

function slugOf(path) {
  return /^\/bmc\/([\w.-]+)$/.exec(path)?.[1] ?? null;
}
