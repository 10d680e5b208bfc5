// The form that chooses an amount: tiles, an amount of one's own, and the currency where several are taken.

import { amountOf, centsOf, creditsFor, refusalOf } from "./amounts.js";
import { h } from "./parts.js";

export class AmountForm {
  /** *wish* is what to begin with: `{cents, currency}`, any of them null. *onChange* is called whenever the choice changes. */
  constructor(app, wish, onChange) {
    this.app = app;
    this.onChange = onChange;
    const { offer, words } = app;
    const currencies = Object.keys(offer.currencies);
    this.currency = currencies.includes(wish.currency) ? wish.currency : offer.currency;
    this.tiles = offer.tiles.map((tile) => this.makeTile(centsOf(tile.amount)));
    this.lastTile = this.tiles[0];
    this.element = h(
      "div",
      { class: "form" },
      currencies.length > 1 && this.makeCurrencies(currencies),
      h("div", { class: "tiles", role: "radiogroup", "aria-label": words.say("amount") }, this.tiles.map(({ element }) => element)),
      this.makeOwn(),
    );
    this.begin(wish);
  }

  /** The amount and currency to ask for; null while there is nothing that could be asked for. */
  get wish() {
    return this.refusal ? null : { amount: amountOf(this.cents), currency: this.currency };
  }

  /** Say what keeps the wish from being one. */
  complain() {
    this.showError();
    this.app.telegram.feel("error");
    this.own.focus();
  }

  get isOwn() {
    return this.own.value.trim() !== "";
  }

  get cents() {
    return this.isOwn ? centsOf(this.own.value) : this.tiles.find(({ input }) => input.checked)?.cents ?? null;
  }

  get refusal() {
    return refusalOf(this.cents, this.app.offer);
  }

  begin({ cents }) {
    const tile = this.tiles.find((one) => one.cents === cents);
    if (cents !== null && !tile) this.own.value = this.app.words.plain(amountOf(cents));
    else this.check(tile ?? this.tiles[0]);
    this.refresh();
    if (this.isOwn) this.showError();
  }

  makeTile(cents) {
    const input = h("input", { type: "radio", name: "amount", value: String(cents), onchange: () => this.chooseTile(tile) });
    const [price, gain] = [h("span", { class: "tile-price" }), h("span", { class: "tile-gain" })];
    const element = h("label", { class: "choice" }, input, h("span", { class: "tile" }, price, gain));
    const tile = { cents, input, price, gain, element };
    return tile;
  }

  makeCurrencies(currencies) {
    const radio = (value) =>
      h("input", { type: "radio", name: "currency", value, checked: value === this.currency, onchange: () => this.chooseCurrency(value) });
    const choices = currencies.map((one) => h("label", { class: "choice" }, radio(one), h("span", { class: "segment" }, one)));
    return h("div", { class: "segments", role: "radiogroup", "aria-label": this.app.words.say("currency") }, choices);
  }

  makeOwn() {
    this.own = h("input", {
      id: "own", type: "text", inputmode: "decimal", autocomplete: "off", enterkeyhint: "go", maxlength: "12",
      "aria-describedby": "own-hint own-error",
      oninput: () => this.writeOwn(),
      onchange: () => this.showError(),
      onkeydown: (event) => event.key === "Enter" && this.app.pressed(),
    });
    this.hint = h("output", { id: "own-hint", class: "hint", for: "own" });
    this.error = h("p", { id: "own-error", class: "error", role: "alert" });
    this.ownRow = h("div", { class: "own" }, h("label", { for: "own" }, this.app.words.say("amount_own")), this.own, this.hint);
    return [this.ownRow, this.error];
  }

  chooseTile(tile) {
    this.own.value = "";
    this.lastTile = tile;
    this.app.telegram.feel("choice");
    this.refresh();
  }

  chooseCurrency(currency) {
    this.currency = currency;
    this.app.telegram.feel("choice");
    this.refresh();
  }

  writeOwn() {
    // The tile that was chosen is chosen no more, and comes back when the field is emptied.
    if (this.isOwn) this.tiles.forEach(({ input }) => (input.checked = false));
    else this.check(this.lastTile);
    this.refresh();
  }

  check(tile) {
    this.lastTile = tile;
    if (tile) tile.input.checked = true;
  }

  refresh() {
    for (const { cents, price, gain } of this.tiles) {
      price.textContent = this.money(amountOf(cents));
      gain.textContent = this.credits(cents);
    }
    const isGood = this.isOwn && !this.refusal;
    this.hint.textContent = isGood ? `= ${this.credits(this.cents)}` : this.app.words.say("amount_own_hint", this.bounds);
    this.ownRow.classList.toggle("own-chosen", isGood);
    // Nobody is scolded while still writing; but what was told is kept true.
    if (!this.isOwn || isGood || this.error.textContent) this.showError();
    this.onChange();
  }

  showError() {
    const name = this.isOwn || !this.tiles.length ? this.refusal : null;
    this.error.textContent = name ? this.app.words.say(name, this.bounds) : "";
    this.own.setAttribute("aria-invalid", String(Boolean(name)));
  }

  get bounds() {
    const { amount_least: least, amount_most: most } = this.app.offer;
    return { least: this.money(least), most: this.money(most) };
  }

  money(amount) {
    return this.app.words.money(amount, this.currency);
  }

  credits(cents) {
    return this.app.words.credits(creditsFor(cents, this.app.offer.currencies[this.currency]));
  }
}
