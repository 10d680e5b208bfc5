// The screens. Each is `{element, action, back, update}`: what is seen, what the main button does, where back leads,
// and how a new state is taken in.

import { centsOf } from "./amounts.js";
import { AmountForm } from "./form.js";
import { changing, copy, cup, h, select, title } from "./parts.js";

/** Choose an amount; shows what one has as well. */
export function choose(app, wish = { cents: null, currency: null }) {
  const { words } = app;
  let isBusy = false;
  const notice = h("div", {});
  const form = new AmountForm(app, wish, () => app.refreshAction());
  const balance = h("section", { class: "card balance", hidden: true });
  const open = h("section", { hidden: true });
  const history = h("section", { hidden: true });
  const drawBalance = changing(balance, (credits) => balanceOf(words, credits));
  const drawOpen = changing(open, (payments) => openPayments(app, payments, "open_payments"));
  const drawHistory = changing(history, (entries) => historyOf(words, entries));

  const run = async () => {
    const wished = form.wish;
    if (!wished) return form.complain();
    isBusy = true;
    app.refreshAction();
    try {
      notice.replaceChildren();
      app.showPayment(await app.server.open(wished));
    } catch (problem) {
      app.telegram.feel("error");
      notice.replaceChildren(noticeOf(app, problem, { retry: run, seeOpen: () => focusOn(open) }));
      notice.scrollIntoView({ block: "center" });
    } finally {
      isBusy = false;
      app.refreshAction();
    }
  };

  return {
    name: "choose",
    element: h("div", {}, headOf("rest", words.say("choose_title"), words.say("choose_lead")), balance, open, form.element, notice, history),
    action: () => ({ ...wishAction(words, form), isBusy, run }),
    update() {
      drawBalance(app.state.balance);
      drawOpen(app.openPayments());
      drawHistory(app.state.history);
    },
  };
}

/** Choose an amount for the bot to answer in the chat: opened by a keyboard button, nobody is known here. */
export function chooseForChat(app, wish) {
  const { words, telegram } = app;
  const notice = h("div", {});
  const form = new AmountForm(app, wish, () => app.refreshAction());
  const run = () => {
    const wished = form.wish;
    if (!wished) return form.complain();
    telegram.send(JSON.stringify(wished));
    // Telegram closes the page now; where it does not, this client knows no such answers.
    setTimeout(() => notice.replaceChildren(h("p", { class: "notice", role: "alert" }, words.say("keyboard_stuck", wished))), 2000);
  };
  return {
    name: "choose-for-chat",
    element: h("div", {}, headOf("rest", words.say("choose_title"), words.say("choose_lead")), form.element, h("p", { class: "hint centred" }, words.say("keyboard_note")), notice),
    action: () => ({ ...wishAction(words, form), run }),
    update() {},
  };
}

/** An open payment: its code, the three steps, and whether it has come. */
export function payment(app, shown) {
  const { words, telegram } = app;
  const money = words.money(shown.amount, shown.currency);
  const notice = h("div", {});
  const others = h("section", { hidden: true });
  const drawOthers = changing(others, (payments) => openPayments(app, payments, "other_payments"));
  const status = h("p", { class: "hint" });
  const [copying, paying, pasting] = ["step_copy", "step_pay", "step_paste"].map((name) => h("li", {}, words.say(name, { amount: money })));

  const openPage = () => {
    paying.classList.add("step-done");
    telegram.openLink(shown.page_url);
  };

  return {
    name: "payment",
    payment: shown,
    element: h(
      "div",
      {},
      headOf("wait", words.say("payment_title", { amount: money, credits: words.credits(shown.credits) }), words.say("payment_lead")),
      codeCard(app, shown.code, () => copying.classList.add("step-done")),
      h("ol", { class: "card steps" }, copying, paying, pasting),
      h("section", { class: "card waiting" }, h("p", { class: "waiting-line" }, h("span", { class: "dot", "aria-hidden": "true" }), words.say("waiting")), status),
      telegram.canAskToWrite && !app.hasAskedToWrite && writeAccess(app),
      notice,
      others,
      h("details", { class: "card" }, h("summary", {}, words.say("trouble")), h("p", {}, words.say("trouble_hint"))),
      h("p", { class: "hint centred" }, words.say("valid_until", { time: words.time(shown.expires_at) })),
      h("div", { class: "links" }, backLink(app), h("button", { class: "link link-danger", type: "button", onclick: () => cancel(app, shown, notice) }, words.say("cancel"))),
    ),
    action: () => ({ text: words.say("open_page"), run: openPage }),
    back: () => app.show(choose(app, wishOf(shown))),
    update() {
      drawOthers(app.openPayments().filter(({ payment_id: id }) => id !== shown.payment_id));
      const text = words.say(waitingText(app.trouble));
      if (status.textContent !== text) status.textContent = text;
    },
  };
}

async function cancel(app, shown, notice) {
  const { words } = app;
  const answers = { yes: words.say("cancel_yes"), no: words.say("cancel_no") };
  if (!(await app.confirm(words.say("cancel_ask"), words.say("cancel_ask_hint"), answers))) return;
  try {
    app.showPayment(await app.server.cancel(shown.payment_id));
  } catch (trouble) {
    if (["payment_ended", "payment_unknown"].includes(trouble.name)) app.refresh();
    notice.replaceChildren(noticeOf(app, trouble, { retry: () => cancel(app, shown, notice) }));
  }
}

function waitingText(trouble) {
  if (trouble?.isFinal) return "waiting_over";
  return { offline: "waiting_offline", service_away: "waiting_away" }[trouble?.name] ?? "waiting_hint";
}

/** A payment that has ended: paid, which is a joy, or expired, or cancelled. */
export function ended(app, shown) {
  const { words, telegram } = app;
  const balance = h("p", { class: "lead" });
  const again = () => app.show(choose(app, wishOf(shown)));
  const done = { text: words.say("done"), run: () => telegram.close() };
  const start = { text: words.say("restart"), run: again };
  return {
    name: shown.paid ? "paid" : shown.status,
    payment: shown,
    element: shown.paid ? paidOf(app, shown, balance, again) : endedOf(words, shown),
    action: () => (shown.paid && telegram.canClose ? done : shown.paid ? { ...start, text: words.say("again") } : start),
    back: again,
    update() {
      balance.textContent = words.say("new_balance", { credits: words.credits(app.state.balance) });
    },
  };
}

/** Somebody came with a plain browser: show the way, and what waits at its end. */
export function outside(app) {
  const { words, offer } = app;
  const link = (cents) => `${offer.bot_url}?startapp=${cents}`;
  const tile = ({ amount, currency, credits }) => {
    const [price, gain] = [words.money(amount, currency), words.credits(credits)];
    const inner = [h("span", { class: "tile-price" }, price), h("span", { class: "tile-gain" }, gain)];
    if (!offer.bot_url) return h("div", { class: "tile" }, inner);
    const name = words.say("outside_tile", { amount: price, credits: gain });
    return h("a", { class: "tile", href: link(amount.replace(".", "_")), "aria-label": name, rel: "noopener" }, inner);
  };
  return {
    name: "outside",
    element: h(
      "div",
      {},
      headOf("rest", words.say("outside_title"), words.say("outside_lead")),
      offer.bot_url ? h("a", { class: "button", href: offer.bot_url, rel: "noopener" }, words.say("outside_open")) : h("p", { class: "card" }, words.say("outside_nameless")),
      offer.bot && h("p", { class: "hint centred" }, `@${offer.bot}`),
      h("h2", {}, words.say("outside_tiles")),
      h("div", { class: "tiles" }, offer.tiles.map(tile)),
    ),
    action: () => null,
    update() {},
  };
}

/** Nothing can be shown but what is wrong and the way on. */
export function problem(app, trouble, retry) {
  const { words, telegram, offer } = app;
  const isScript = trouble.name === "script_missing";
  const isFinal = trouble.isFinal || trouble.name === "request_unreadable";
  let isBusy = false;
  const again = () => {
    isBusy = true;
    app.refreshAction();
    retry();
  };
  return {
    name: "problem",
    element: h(
      "div",
      {},
      headOf("cold", words.say(isScript ? "script_title" : "problem_title"), sentenceOf(app, trouble)),
      (isFinal || isScript) && offer?.bot_url && h("p", { class: "centred" }, h("a", { class: "link", href: offer.bot_url, rel: "noopener" }, words.say("open_bot"))),
    ),
    action: () => {
      if (!isFinal) return { text: words.say("retry"), isBusy, run: again };
      return telegram.canClose ? { text: words.say("close"), run: () => telegram.close() } : null;
    },
    update() {},
  };
}

function headOf(kind, heading, lead) {
  return h("header", { class: "head" }, cup(kind), title(heading), h("p", { class: "lead" }, lead));
}

function wishAction(words, form) {
  const wished = form.wish;
  return { text: wished ? words.say("support", { amount: words.money(wished.amount, wished.currency) }) : words.say("support_wish") };
}

function wishOf({ amount, currency }) {
  return { cents: centsOf(amount), currency };
}

function balanceOf(words, credits) {
  const line = h("p", { class: "balance-line" }, h("span", {}, words.say("balance")), h("strong", {}, words.credits(credits)));
  return [line, credits < 0 && h("p", { class: "hint" }, words.say("balance_debt"))];
}

function openPayments(app, payments, heading) {
  const { words } = app;
  if (!payments.length) return [];
  const row = (one) => {
    const details = words.say("open_payment", { code: one.code, time: words.time(one.expires_at) });
    const texts = h("span", {}, h("strong", {}, words.money(one.amount, one.currency)), h("span", { class: "hint" }, details));
    return h("li", {}, h("button", { class: "row", type: "button", onclick: () => app.showPayment(one) }, texts, h("span", { class: "chevron", "aria-hidden": "true" })));
  };
  return [h("h2", { tabindex: "-1" }, words.say(heading)), h("ul", { class: "card list" }, payments.map(row))];
}

function historyOf(words, entries) {
  if (!entries.length) return [h("h2", {}, words.say("history")), h("p", { class: "card hint" }, words.say("history_empty"))];
  const row = (entry) =>
    h("li", { class: "row" },
      h("span", {}, h("span", { class: "row-title" }, causeOf(words, entry)), h("time", { class: "hint", datetime: entry.at }, words.time(entry.at))),
      h("strong", { class: entry.credits < 0 ? "change" : "change change-up" }, words.change(entry.credits)));
  return [h("h2", {}, words.say("history")), h("ul", { class: "card list" }, entries.map(row))];
}

function causeOf(words, { kind, cause, amount, currency }) {
  if (kind !== "payment" && kind !== "refund") return cause ?? "";
  return amount === null ? words.say(`history_${kind}_bare`) : words.say(`history_${kind}`, { amount: words.money(amount, currency) });
}

function codeCard(app, code, onCopied) {
  const { words } = app;
  const shown = h("strong", { class: "code", id: "code" }, code);
  const label = h("span", {}, words.say("copy"));
  const byHand = h("p", { class: "hint", role: "status" });
  let timer;
  const run = async () => {
    if (!(await copy(code))) {
      byHand.textContent = words.say("copy_by_hand");
      return select(shown);
    }
    onCopied();
    app.telegram.feel("touch");
    label.textContent = words.say("copied");
    app.announce(words.say("copied_news"));
    clearTimeout(timer);
    timer = setTimeout(() => (label.textContent = words.say("copy")), 2500);
  };
  return h(
    "section",
    { class: "card code-card" },
    h("p", { class: "hint", id: "code-label" }, words.say("code")),
    // Readers spell it sign by sign; a tap anywhere on it copies.
    h("p", { class: "code-line", onclick: run }, shown),
    h("button", { class: "button button-quiet", type: "button", "aria-describedby": "code-label code", onclick: run }, label),
    byHand,
  );
}

function writeAccess(app) {
  const { words, telegram } = app;
  const card = h("section", { class: "card ask" }, h("p", {}, words.say("write_access")));
  const ask = async () => {
    const isAllowed = await telegram.askToWrite();
    app.hasAskedToWrite = true;
    card.replaceChildren(h("p", { role: "status" }, words.say(isAllowed ? "write_access_done" : "write_access_no")));
  };
  card.append(h("button", { class: "button button-quiet", type: "button", onclick: ask }, words.say("write_access_yes")));
  return card;
}

function paidOf(app, shown, balance, again) {
  const { words, telegram } = app;
  const { paid } = shown;
  const [pickedMoney, paidMoney] = [words.money(shown.amount, shown.currency), words.money(paid.amount, paid.currency)];
  const isOther = shown.currency !== paid.currency || centsOf(shown.amount) !== centsOf(paid.amount);
  return h(
    "div",
    { class: "paid" },
    headOf("full", words.say("paid_title"), words.say("paid_lead", { amount: paidMoney })),
    h("p", { class: "gain" }, words.say("paid_credits", { credits: words.credits(paid.credits) })),
    isOther && h("p", { class: "card centred" }, words.say("paid_differs", { picked: pickedMoney, paid: paidMoney })),
    balance,
    telegram.canClose && h("div", { class: "links" }, h("button", { class: "link", type: "button", onclick: again }, words.say("again"))),
  );
}

function endedOf(words, shown) {
  const facts = { amount: words.money(shown.amount, shown.currency), code: shown.code };
  return h("div", {}, headOf("cold", words.say(`${shown.status}_title`), words.say(`${shown.status}_lead`, facts)), h("p", { class: "card centred" }, words.say("ended_hint")));
}

/** Not needed where Telegram shows its own. */
function backLink(app) {
  if (app.telegram.hasBackButton) return null;
  return h("button", { class: "link", type: "button", onclick: () => app.goBack() }, app.words.say("back"));
}

function sentenceOf(app, trouble) {
  const { words, offer } = app;
  const { fields, name } = trouble;
  const money = (amount) => amount && offer && words.money(amount, offer.currency);
  const facts = { least: money(fields?.least), most: money(fields?.most), count: words.payments(fields?.count ?? 0) };
  return words.say(words.has(name) ? name : "request_unreadable", facts);
}

function noticeOf(app, trouble, { retry, seeOpen }) {
  const { words, telegram } = app;
  const button = (name, run) => h("button", { class: "link", type: "button", onclick: run }, words.say(name));
  const way = () => {
    if (trouble.name === "too_many_open" && seeOpen) return button("see_open", seeOpen);
    if (trouble.isFinal) return telegram.canClose && button("close", () => telegram.close());
    if (trouble.name === "too_many_requests") return patientButton(words, retry, trouble.fields.wait ?? 5);
    return ["offline", "service_away"].includes(trouble.name) && button("retry", retry);
  };
  return h("div", { class: "notice", role: "alert" }, h("p", {}, sentenceOf(app, trouble)), way());
}

/** A button that can be pressed when the server would listen again. */
function patientButton(words, run, wait) {
  const button = h("button", { class: "link", type: "button", disabled: true, onclick: run });
  const tell = (seconds) => {
    button.disabled = seconds > 0;
    button.textContent = seconds > 0 ? words.say("retry_in", { seconds }) : words.say("retry");
    if (seconds > 0) setTimeout(() => tell(seconds - 1), 1000);
  };
  tell(wait);
  return button;
}

function focusOn(section) {
  section.scrollIntoView({ block: "start" });
  section.querySelector("h2")?.focus({ preventScroll: true });
}
