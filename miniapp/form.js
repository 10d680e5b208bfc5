// The form that chooses an amount: tiles, an amount of one's own, and the currency where several are taken.

import { amountOf, centsOf, creditsFor, refusalOf } from "./amounts.js";
import { h } from "./parts.js";

/** *wish* is what to begin with: `{cents, currency}`, any of them null. *onChange* is called whenever the choice changes. */
export function amountForm(app, wish, onChange) {
  const { offer, words, telegram } = app;
  const currencies = Object.keys(offer.currencies);
  const tiles = offer.tiles.map((tile) => centsOf(tile.amount));
  let lastTile = 0;
  let currency = currencies.includes(wish.currency) ? wish.currency : offer.currency;

  const credits = (cents) => words.credits(creditsFor(cents, offer.currencies[currency]));
  const money = (amount) => words.money(amount, currency);

  const radios = tiles.map((cents) => {
    const input = h("input", { type: "radio", name: "amount", value: String(cents), onchange: () => chooseTile() });
    const [price, gain] = [h("span", { class: "tile-price" }), h("span", { class: "tile-gain" })];
    return { cents, input, price, gain, element: h("label", { class: "choice" }, input, h("span", { class: "tile" }, price, gain)) };
  });
  const own = h("input", {
    id: "own", type: "text", inputmode: "decimal", autocomplete: "off", enterkeyhint: "go", maxlength: "12",
    "aria-describedby": "own-hint own-error",
    oninput: () => writeOwn(), onchange: () => showError(), onkeydown: (event) => event.key === "Enter" && app.pressed(),
  });
  const hint = h("output", { id: "own-hint", class: "hint", for: "own" });
  const error = h("p", { id: "own-error", class: "error", role: "alert" });
  const ownRow = h("div", { class: "own" }, h("label", { for: "own" }, words.say("amount_own")), own, hint);

  const ownCents = () => centsOf(own.value.trim());
  const isOwn = () => own.value.trim() !== "";
  const chosen = () => (isOwn() ? ownCents() : radios.find(({ input }) => input.checked)?.cents ?? null);
  const refusal = () => refusalOf(chosen(), offer);

  function chooseTile() {
    own.value = "";
    lastTile = radios.findIndex(({ input }) => input.checked);
    telegram.feel("choice");
    refresh();
  }

  function writeOwn() {
    // The tile that was chosen is chosen no more, and comes back when the field is emptied.
    radios.forEach(({ input }, index) => (input.checked = !isOwn() && index === lastTile));
    refresh();
  }

  function refresh() {
    radios.forEach(({ cents, price, gain }) => {
      price.textContent = money(amountOf(cents));
      gain.textContent = credits(cents);
    });
    const isGood = isOwn() && !refusal();
    const bounds = { least: money(offer.amount_least), most: money(offer.amount_most) };
    hint.textContent = isGood ? `= ${credits(ownCents())}` : words.say("amount_own_hint", bounds);
    ownRow.classList.toggle("own-chosen", isGood);
    if (!isOwn() || isGood) clearError();
    else if (error.textContent) showError();
    onChange();
  }

  function showError() {
    const name = isOwn() || chosen() === null ? refusal() : null;
    error.textContent = name ? words.say(name, { least: money(offer.amount_least), most: money(offer.amount_most) }) : "";
    own.setAttribute("aria-invalid", String(Boolean(name)));
  }

  function clearError() {
    error.textContent = "";
    own.removeAttribute("aria-invalid");
  }

  function begin() {
    const tile = radios.find(({ cents }) => cents === wish.cents);
    if (wish.cents !== null && !tile) own.value = words.plain(amountOf(wish.cents));
    else if (radios.length) (tile ?? radios[0]).input.checked = true;
    lastTile = Math.max(0, radios.indexOf(tile));
    refresh();
    if (isOwn()) showError();
  }

  const element = h(
    "div",
    { class: "form" },
    currencies.length > 1 && currencyChoice(currencies, currency, words, (one) => ((currency = one), telegram.feel("choice"), refresh())),
    h("div", { class: "tiles", role: "radiogroup", "aria-label": words.say("amount") }, radios.map((radio) => radio.element)),
    ownRow,
    error,
  );
  begin();
  return {
    element,
    /** The amount and currency to ask for; null while there is nothing that could be asked for. */
    wish: () => (refusal() ? null : { amount: amountOf(chosen()), currency }),
    complain() {
      showError();
      telegram.feel("error");
      own.focus();
    },
  };
}

function currencyChoice(currencies, current, words, onChoose) {
  const radios = currencies.map((currency) =>
    h("label", { class: "choice" },
      h("input", { type: "radio", name: "currency", value: currency, checked: currency === current, onchange: () => onChoose(currency) }),
      h("span", { class: "segment" }, currency)));
  return h("div", { class: "segments", role: "radiogroup", "aria-label": words.say("currency") }, radios);
}
