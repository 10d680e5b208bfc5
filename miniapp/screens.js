// Each screen is `{name, element, action, back, update}`, the last three optional. `action` returns the main button's text and
// its handler `run`. `back` shows the previous screen. `update` shows a new state.

import { centsOf } from "./amounts.js";
import { AmountForm } from "./form.js";
import { changing, copy, h, head, write } from "./parts.js";

/** The amount form, with the balance and history. */
export function choose(app, wish) {
  const { words } = app;
  const notice = h("div");
  const [balance, showBalance] = changing("section.card", (credits) => balanceOf(words, credits));
  const [open, showOpen] = openPayments(app, "open_payments");
  const [history, showHistory] = changing("section", (entries) => historyOf(words, entries));
  history.id = "history";

  const seeOpen = () => {
    open.scrollIntoView({ block: "start" });
    open.querySelector("h2")?.focus({ preventScroll: true });
  };
  const ask = async (wished) => {
    try {
      notice.replaceChildren();
      app.showPayment(await app.server.open(wished));
    } catch (trouble) {
      app.telegram.feel("error");
      notice.replaceChildren(noticeOf(app, trouble, () => app.pressed(), seeOpen));
      notice.scrollIntoView({ block: "center" });
    }
  };

  return {
    name: "choose",
    ...choice(app, wish, ask, [balance, open], [notice, history]),
    update() {
      showBalance(app.state.balance);
      showOpen(app.openPayments());
      showHistory(app.state.history);
    },
  };
}

/** The amount form for an unknown user. It sends the amount to the chat. */
export function chooseForChat(app, wish) {
  const { say } = app.words;
  const notice = h("div");
  const send = (wished) => {
    app.telegram.send(JSON.stringify(wished));
    // If `sendData` works, Telegram closes the page before this notice.
    setTimeout(() => notice.replaceChildren(h("p.notice", { role: "alert" }, say("keyboard_stuck", wished))), 2000);
  };
  return { name: "choose-for-chat", ...choice(app, wish, send, [], [h("p.hint.centred", say("keyboard_note")), notice]) };
}

/** The form between *above* and *below*. It begins with *wish*, and calls *take* with the chosen amount. */
function choice(app, wish, take, above, below) {
  const { say, money } = app.words;
  const form = new AmountForm(app, wish);
  return {
    element: h("div", head("rest", say("choose_title"), say("choose_lead")), above, form.element, below),
    action() {
      const wished = form.wish;
      if (!wished) return { text: say("support_wish"), run: () => form.complain() };
      return { text: say("support", { amount: money(wished.amount, wished.currency), credits: form.bonus }), run: () => take(wished) };
    },
  };
}

/** An open payment: its code, steps and status. It has no main button, because Telegram's cannot copy the code. */
export function payment(app, shown) {
  const { telegram } = app;
  const { say, money, credits, time } = app.words;
  const amount = money(shown.amount, shown.currency);
  const notice = h("div");
  const [others, showOthers] = openPayments(app, "other_payments");
  const status = h("p.hint");
  const [copying, ...next] = ["step_copy", "step_paste", "step_pay"].map((name) => h("li", say(name, { amount })));

  const cancel = async () => {
    if (!(await app.confirmCancel())) return;
    try {
      app.showPayment(await app.server.cancel(shown.payment_id));
    } catch (trouble) {
      if (["payment_ended", "payment_unknown"].includes(trouble.name)) app.refresh();
      notice.replaceChildren(noticeOf(app, trouble, cancel));
    }
  };

  return {
    name: "payment",
    payment: shown,
    element: h(
      "div",
      head("wait", say("payment_title", { amount, credits: credits(shown.credits) }), say("payment_lead")),
      codeCard(app, shown, () => copying.classList.add("step-done")),
      h("ol.card.steps", copying, next),
      h("section.card.waiting", h("p.waiting-line", say("waiting")), status),
      telegram.canAskToWrite && !app.hasAskedToWrite && writeAccess(app),
      notice,
      others,
      claimCard(app),
      h("p.hint.centred", say("valid_until", { time: time(shown.expires_at) })),
      h(
        "div.links",
        !telegram.hasBackButton && link(say("back"), () => app.goBack()),
        h("button.link.link-danger", { onclick: cancel }, say("cancel")),
      ),
    ),
    back: () => chooseAnew(app, shown),
    update() {
      showOthers(app.openPayments().filter(({ payment_id: id }) => id !== shown.payment_id));
      const { trouble } = app;
      const known = { offline: "waiting_offline", service_away: "waiting_away" };
      write(status, say(trouble?.isFinal ? "waiting_over" : known[trouble?.name] ?? "waiting_hint"));
    },
  };
}

/** A payment that has ended: paid, expired or cancelled. */
export function ended(app, shown) {
  const { telegram } = app;
  const { say, credits } = app.words;
  const balance = h("strong");
  const again = () => chooseAnew(app, shown);
  const canClose = shown.paid && telegram.canClose;
  return {
    name: shown.paid ? "paid" : shown.status,
    payment: shown,
    element: shown.paid ? paidOf(app, shown, balance, canClose && again) : endedOf(app.words, shown),
    action: () => (canClose ? { text: say("close"), run: telegram.close } : { text: say(shown.paid ? "again" : "support_wish"), run: again }),
    back: again,
    update: () => app.state.balance !== null && write(balance, credits(app.state.balance)),
  };
}

/** Outside Telegram: show a link to the bot. */
export function outside(app) {
  const { bot, bot_url: way, tiles } = app.offer;
  const { say, money, credits } = app.words;
  const tile = (one) => {
    const [amount, gain] = [money(one.amount, one.currency), credits(one.credits)];
    const inner = [h("span.tile-price", amount), h("span.tile-gain", gain)];
    if (!way) return h("div.tile", inner);
    const name = say("outside_tile", { amount, credits: gain });
    return h("a.tile", { href: `${way}?startapp=${one.amount.replace(".", "_")}`, "aria-label": name, rel: "noopener" }, inner);
  };
  return {
    name: "outside",
    element: h(
      "div",
      head("rest", say("outside_title"), say("outside_lead")),
      way ? h("a.button", { href: way, rel: "noopener" }, say("outside_open")) : h("p.card", say("outside_nameless")),
      bot && h("p.hint.centred", `@${bot}`),
      h("h2", say("outside_tiles")),
      h("div.tiles", tiles.map(tile)),
    ),
  };
}

/** A problem, with a button for the next step. */
export function problem(app, trouble, retry) {
  const { say } = app.words;
  const isScript = trouble.name === "script_missing";
  const isFinal = trouble.isFinal || trouble.name === "request_unreadable";
  const way = (isFinal || isScript) && app.offer?.bot_url;
  return {
    name: "problem",
    element: h(
      "div",
      head("cold", say(isScript ? "script_title" : "problem_title"), sentenceOf(app, trouble)),
      way && h("p.centred", h("a.link", { href: way, rel: "noopener" }, say("open_bot"))),
    ),
    action() {
      // This promise never resolves, so that the button is busy until the screen changes.
      if (!isFinal) return { text: say("retry"), run: () => new Promise(retry) };
      if (!app.telegram.canClose) return null;
      if (app.offer?.bot_url) return { text: say("continue_in_chat"), run: () => app.goToChat("pay") };
      return { text: say("close"), run: app.telegram.close };
    },
  };
}

function chooseAnew(app, { amount, currency }) {
  app.show(choose(app, { cents: centsOf(amount), currency }));
}

function link(text, run) {
  return h("button.link", { onclick: run }, text);
}

/** *balance* is null if another bot keeps the balances. */
function balanceOf({ say, credits }, balance) {
  if (balance === null) return [];
  return [h("p.balance", h("span", say("balance")), h("strong", credits(balance))), balance < 0 && h("p.hint", say("balance_debt"))];
}

function openPayments(app, heading) {
  const { say, money, time } = app.words;
  const row = (one) => {
    const details = say("open_payment", { code: one.code, time: time(one.expires_at) });
    const texts = h("span", h("strong", money(one.amount, one.currency)), h("span.hint", details));
    return h("li", h("button.row", { onclick: () => app.showPayment(one) }, texts));
  };
  return changing("section", (payments) => (payments.length ? [h("h2", { tabindex: -1 }, say(heading)), h("ul.card.list", payments.map(row))] : []));
}

function historyOf(words, entries) {
  const { say, time, change } = words;
  const row = (entry) =>
    h(
      "li.row",
      h("span", causeOf(words, entry), h("time.hint", { datetime: entry.at }, time(entry.at))),
      h(entry.credits < 0 ? "strong.change" : "strong.change.change-up", change(entry.credits)),
    );
  return [h("h2", { tabindex: -1 }, say("history")), entries.length ? h("ul.card.list", entries.map(row)) : h("p.card.hint", say("history_empty"))];
}

function causeOf({ say, money }, { change, cause, amount, currency }) {
  // If the entry has no charge, its amount is null, and `cause` is a text for the user.
  return amount === null ? cause : say(`history_${change}`, { amount: money(amount, currency) });
}

function codeCard(app, { code, page_url: page }, onCopied) {
  const { say } = app.words;
  const shown = h("strong.code", { id: "code" }, code);
  const byHand = h("p.hint", { role: "status" });
  let isToldToCopy = false;
  const copyCode = async () => {
    if (!(await copy(code))) {
      byHand.textContent = say("copy_by_hand");
      getSelection().selectAllChildren(shown);
      return false;
    }
    byHand.textContent = "";
    onCopied();
    app.telegram.feel("touch");
    app.announce(say("copied_news"));
    return true;
  };
  const copyAndOpen = async () => {
    // Buy Me a Coffee's page hides the code. So if copying fails, let the user copy by hand. The next press opens the page.
    const isCopied = await copyCode();
    if (isCopied || isToldToCopy) app.telegram.openLink(page);
    isToldToCopy = !isCopied;
    write(both, say(isCopied ? "copy_and_open" : "open_page"));
  };
  const both = h("button.button", { "aria-describedby": "code-label code", onclick: copyAndOpen }, say("copy_and_open"));
  const only = h("button.link", { onclick: async () => (await copyCode()) && mark() }, say("copy"));
  let timer;
  const mark = () => {
    only.textContent = say("copied");
    clearTimeout(timer);
    timer = setTimeout(() => (only.textContent = say("copy")), 2500);
  };
  return h(
    "section.card.code-card",
    h("p.hint", { id: "code-label" }, say("code")),
    // A tap anywhere on this line copies the code.
    h("p.code-line", { onclick: () => only.click() }, shown),
    both,
    byHand,
    h("div.links", only),
  );
}

/** A button that begins a claim in the chat. Without the bot's name, tell the user which command to send. */
function claimCard(app) {
  const { say } = app.words;
  const way = app.offer.bot_url;
  if (!way || !app.telegram.canClose) return h("p.card", say("trouble_hint"));
  return h("button.button.button-quiet", { onclick: () => app.goToChat("claim") }, say("trouble"));
}

function writeAccess(app) {
  const { say } = app.words;
  const ask = async () => {
    const isAllowed = await app.telegram.askToWrite();
    app.hasAskedToWrite = true;
    card.replaceChildren(h("p", { role: "status" }, say(isAllowed ? "write_access_done" : "write_access_no")));
  };
  const card = h("section.card.ask", h("p", say("write_access")), h("button.button.button-quiet", { onclick: ask }, say("write_access_yes")));
  return card;
}

function paidOf(app, { amount, currency, code, paid }, balance, again) {
  const { say, money, credits, time } = app.words;
  const facts = { picked: money(amount, currency), paid: money(paid.amount, paid.currency) };
  const row = (name, value) => h("li.row", h("span.hint", say(name)), value);
  const seeHistory = () => {
    app.show(choose(app, {}));
    document.getElementById("history").scrollIntoView({ block: "start" });
    document.querySelector("#history h2").focus({ preventScroll: true });
  };
  return h(
    "div.paid",
    head("full", say("paid_title"), say("paid_lead", { amount: facts.paid })),
    // Let lines break before "credits".
    h("p.gain.centred", say("paid_credits", { credits: credits(paid.credits).replace(/\s(?=\D)/, " ") })),
    facts.picked !== facts.paid && h("p.card.centred", say("paid_differs", facts)),
    h(
      "ul.card.list",
      row("paid_at", h("time", { datetime: paid.at }, time(paid.at, true))),
      row("code", h("strong", code)),
      app.state.balance !== null && row("balance", balance),
    ),
    app.telegram.canClose && h("button.button.button-quiet", { onclick: () => app.share() }, say("share")),
    h("div.links", link(say("history"), seeHistory), again && link(say("again"), again)),
  );
}

function endedOf({ say, money }, { status, amount, currency, code }) {
  const facts = { amount: money(amount, currency), code };
  return h("div", head("cold", say(`${status}_title`), say(`${status}_lead`, facts)), h("p.card.centred", say("ended_hint")));
}

function sentenceOf({ words, offer }, { name, fields }) {
  const money = (amount) => amount && offer && words.money(amount, offer.currency);
  const facts = { least: money(fields.least), most: money(fields.most), count: words.payments(fields.count ?? 0) };
  return words.say(words.has(name) ? name : "request_unreadable", facts);
}

function noticeOf(app, trouble, retry, seeOpen) {
  const { say } = app.words;
  const way = () => {
    if (trouble.isFinal) return app.telegram.canClose && (app.offer.bot_url ? link(say("continue_in_chat"), () => app.goToChat("pay")) : link(say("close"), app.telegram.close));
    switch (trouble.name) {
      case "too_many_open":
        return seeOpen && link(say("see_open"), seeOpen);
      case "too_many_requests":
        return patientLink(say, retry, trouble.fields.wait ?? 5);
      case "offline":
      case "service_away":
        return link(say("retry"), retry);
    }
  };
  return h("div.notice", { role: "alert" }, h("p", sentenceOf(app, trouble)), way());
}

/** A button that is disabled until the server accepts requests again. */
function patientLink(say, run, wait) {
  const button = link("", run);
  const tell = (seconds) => {
    button.disabled = seconds > 0;
    button.textContent = seconds > 0 ? say("retry_in", { seconds }) : say("retry");
    if (seconds > 0) setTimeout(tell, 1000, seconds - 1);
  };
  tell(wait);
  return button;
}
