// The form to choose an amount: tiles, another amount, and the currency if there are several.

import { amountOf, centsOf, creditsFor, readAmount, refusalOf } from "./amounts.js";
import { h } from "./parts.js";

export class AmountForm {
  /** *cents* and *currency*, if given, are preselected. */
  constructor(app, { cents, currency }) {
    this.app = app;
    this.offer = app.offer;
    const { say, plain } = app.words;
    const currencies = Object.keys(this.offer.currencies);
    this.currency = currencies.includes(currency) ? currency : this.offer.currency;
    this.segments = new Map();
    this.tiles = this.offer.tiles.map(({ amount }) => this.makeTile(centsOf(amount)));
    this.element = h(
      "div.form",
      currencies.length > 1 && h("div.segments", { role: "radiogroup", "aria-label": say("currency") }, currencies.map((one) => this.makeCurrency(one))),
      h("div.tiles", { role: "radiogroup", "aria-label": say("amount") }, this.tiles.map(({ element }) => element)),
      this.makeOwn(say("amount_own")),
    );
    const tile = this.tiles.find((one) => one.cents === cents);
    this.tile = tile ?? this.tiles[0];
    if (cents !== undefined && !tile) this.own.value = plain(amountOf(cents));
    this.refresh();
    if (this.isOwn) this.showError();
  }

  /** The amount and currency to ask for; null if there is no valid amount. */
  get wish() {
    return this.refusal ? null : { amount: amountOf(this.cents), currency: this.currency };
  }

  /** The credits for the chosen amount, as text. */
  get bonus() {
    return this.credits(this.cents);
  }

  /** Show why the amount is not valid. */
  complain() {
    this.showError();
    this.app.telegram.feel("error");
    this.own.focus();
  }

  /** True if the amount comes from the text field and not from a tile. */
  get isOwn() {
    return this.own.value.trim() !== "";
  }

  get cents() {
    return this.isOwn ? readAmount(this.own.value)?.cents ?? null : this.tile?.cents ?? null;
  }

  get refusal() {
    const named = this.isOwn && readAmount(this.own.value)?.currency;
    return named && named !== this.currency ? "currency_unknown" : refusalOf(this.cents, this.offer);
  }

  makeTile(cents) {
    const choose = () => {
      this.own.value = "";
      this.choose({ tile });
    };
    const input = h("input", { type: "radio", name: "amount", value: cents, onchange: choose });
    const [price, gain] = [h("span.tile-price"), h("span.tile-gain")];
    const tile = { cents, input, price, gain, element: h("label.choice", input, h("span.tile", price, gain)) };
    return tile;
  }

  makeCurrency(currency) {
    const input = h("input", { type: "radio", name: "currency", value: currency, onchange: () => this.choose({ currency }) });
    input.checked = currency === this.currency;
    this.segments.set(currency, input);
    return h("label.choice", input, h("span.segment", currency));
  }

  makeOwn(label) {
    this.own = h("input", {
      id: "own", inputmode: "decimal", autocomplete: "off", enterkeyhint: "go", maxlength: 24, "aria-describedby": "own-hint own-error",
      oninput: () => this.readOwn(),
      onchange: () => this.showError(),
      onkeydown: ({ key }) => key === "Enter" && this.app.pressed(),
    });
    this.hint = h("output.hint", { id: "own-hint", for: "own" });
    this.error = h("p.error", { id: "own-error", role: "alert" });
    this.ownRow = h("div.own", h("label", { for: "own" }, label), this.own, this.hint);
    return [this.ownRow, this.error];
  }

  /** Switch to the currency that the user typed, if it is accepted. */
  readOwn() {
    const named = readAmount(this.own.value)?.currency;
    if (named in this.offer.currencies) this.currency = named;
    const segment = this.segments.get(this.currency);
    if (segment) segment.checked = true;
    this.refresh();
  }

  choose(choice) {
    Object.assign(this, choice);
    this.app.telegram.feel("choice");
    this.refresh();
  }

  refresh() {
    for (const tile of this.tiles) {
      tile.input.checked = tile === this.tile && !this.isOwn;
      tile.price.textContent = this.money(amountOf(tile.cents));
      tile.gain.textContent = this.credits(tile.cents);
    }
    const isGood = this.isOwn && !this.refusal;
    this.hint.textContent = isGood ? `= ${this.credits(this.cents)}` : this.app.words.say("amount_own_hint", this.bounds);
    this.ownRow.classList.toggle("own-chosen", isGood);
    // Show no new error while the user is typing, but update a shown one.
    if (!this.isOwn || isGood || this.error.textContent) this.showError();
    this.app.refreshAction();
  }

  showError() {
    const name = (this.isOwn || !this.tile) && this.refusal;
    this.error.textContent = name ? this.app.words.say(name, this.bounds) : "";
    this.own.setAttribute("aria-invalid", Boolean(name));
  }

  get bounds() {
    const { amount_least: least, amount_most: most } = this.offer;
    return { least: this.money(least), most: this.money(most) };
  }

  money(amount) {
    return this.app.words.money(amount, this.currency);
  }

  credits(cents) {
    return this.app.words.credits(creditsFor(cents, this.offer.currencies[this.currency]));
  }
}
