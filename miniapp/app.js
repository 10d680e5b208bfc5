// The wiring: find out who opens the page and how, fetch what is offered, and show the screen that fits.

import { readDeepLink } from "./amounts.js";
import * as screens from "./screens.js";
import { Listening, Problem, serverFor } from "./server.js";
import { findTelegram, wrap } from "./telegram.js";
import { followTheme } from "./theme.js";
import { languageOf, wordsOf } from "./words.js";

const RETRY_MILLISECONDS = 5000;
const TOAST_MILLISECONDS = 3000;
const parameters = new URLSearchParams(location.search);
const find = (id) => document.getElementById(id);

class App {
  offer = null;
  state = null;
  screen = null;
  trouble = null;
  hasAskedToWrite = false;

  constructor(telegram) {
    this.telegram = telegram;
    this.server = serverFor(this.isForChat ? "" : telegram.initData);
    this.speak(languageOf(telegram.language ?? parameters.get("lang") ?? navigator.language));
    find("action").addEventListener("click", () => this.pressed());
    find("connection-close").addEventListener("click", () => telegram.close());
    followTheme(telegram);
    telegram.begin();
  }

  /** Opened by a keyboard button: Telegram tells nobody's name then, and takes one answer for the chat. */
  get isForChat() {
    return parameters.get("mode") === "keyboard";
  }

  async start() {
    if (this.telegram.isInside && !this.isForChat) this.follow();
    this.offer = await this.fetchOffer();
    if (!this.telegram.isLoaded) this.show(screens.problem(this, new Problem("script_missing"), reload));
    else if (!this.telegram.isInside) this.show(screens.outside(this));
    else if (this.isForChat) this.show(screens.chooseForChat(this, this.wish()));
    else this.settle();
  }

  async fetchOffer() {
    for (;;) {
      try {
        return await this.server.offer();
      } catch (trouble) {
        await this.waitForRetry(trouble);
      }
    }
  }

  waitForRetry(trouble) {
    return new Promise((resolve) => {
      // What is wrong with who asks is final, and is told in its place.
      if (!this.trouble?.isFinal) this.show(screens.problem(this, trouble, resolve), { isQuiet: this.screen?.name === "problem" });
      window.addEventListener("online", resolve, { once: true });
      setTimeout(resolve, RETRY_MILLISECONDS);
    });
  }

  follow() {
    this.listening = new Listening(this.server, {
      onState: (state) => this.take(state),
      onConnection: (trouble) => this.takeConnection(trouble),
    });
  }

  /** Take in a new state of the user's affairs. */
  take(state) {
    this.state = state;
    if (languageOf(state.language) !== this.words.language) this.speakAnew(languageOf(state.language));
    this.settle();
  }

  /** Take in that the connection is well (null) or what is wrong with it. */
  takeConnection(trouble) {
    const wasAway = this.trouble !== null;
    this.trouble = trouble;
    if (trouble && !this.state) return void (this.offer || trouble.isFinal ? this.showTrouble() : null);
    const text = trouble ? this.words.say(this.words.has(trouble.name) ? trouble.name : "service_away") : "";
    if (find("connection-text").textContent !== text) find("connection-text").textContent = text;
    find("connection-close").textContent = this.words.say("close");
    find("connection-close").hidden = !(trouble?.isFinal && this.telegram.canClose);
    find("connection").hidden = !trouble;
    find("connection").classList.toggle("connection-final", Boolean(trouble?.isFinal));
    document.body.classList.toggle("troubled", trouble !== null);
    if (!trouble && wasAway && this.state) this.toast(this.words.say("back_online"));
    if (this.state) this.screen?.update();
  }

  showTrouble() {
    const isQuiet = this.screen?.name === "problem";
    this.show(screens.problem(this, this.trouble, () => this.listening.hurry()), { isQuiet });
  }

  /** Show what the state asks for: on the first one the screen to begin with, later what became of the payment in view. */
  settle() {
    if (!this.offer || !this.state) return void (this.offer && this.trouble && this.showTrouble());
    if (!this.screen || this.screen.name === "problem") return this.begin();
    const known = this.state.payments.find(({ payment_id: id }) => id === this.screen.payment?.payment_id);
    if (known && (known.status !== this.screen.payment.status || Boolean(known.paid) !== Boolean(this.screen.payment.paid))) return this.showPayment(known);
    this.tellOfOthers();
    this.screen.update();
  }

  begin() {
    const wish = this.wish();
    const open = this.openPayments();
    const meant = wish.cents === null ? open[0] : open.find((one) => Number(one.amount) * 100 === wish.cents && one.currency === (wish.currency ?? this.offer.currency));
    this.tellOfOthers();
    this.show(meant ? screens.payment(this, meant) : screens.choose(this, wish));
  }

  /** A payment may come while another screen is in view. */
  tellOfOthers() {
    const open = new Set(this.openPayments().map(({ payment_id: id }) => id));
    for (const { payment_id: id, paid } of this.state.payments) if (paid && this.wasOpen?.has(id)) this.toast(this.rejoice(paid));
    this.wasOpen = open;
  }

  rejoice(paid) {
    this.telegram.feel("success");
    return this.words.say("paid_news", { credits: this.words.credits(paid.credits) });
  }

  openPayments() {
    return (this.state?.payments ?? []).filter(({ status }) => status === "pending");
  }

  /** The amount of the deep link that led here, if any. */
  wish() {
    return readDeepLink(this.telegram.startParam ?? parameters.get("tgWebAppStartParam")) ?? { cents: null, currency: null };
  }

  showPayment(payment) {
    if (payment.paid && this.screen?.payment?.payment_id === payment.payment_id) this.announce(this.rejoice(payment.paid));
    this.keep(payment);
    this.show(payment.status === "pending" && !payment.paid ? screens.payment(this, payment) : screens.ended(this, payment));
  }

  /** Put an answer into the state, which the next event brings as well. */
  keep(payment) {
    const others = this.state.payments.filter(({ payment_id: id }) => id !== payment.payment_id);
    const payments = [payment, ...others].sort((one, other) => other.created_at.localeCompare(one.created_at));
    this.state = { ...this.state, payments };
    this.wasOpen = new Set(this.openPayments().map(({ payment_id: id }) => id));
  }

  async refresh() {
    try {
      this.take(await this.server.state());
    } catch {
      // The stream brings it as soon as it can.
    }
  }

  show(screen, { isQuiet = false } = {}) {
    const isFirst = !this.screen;
    this.screen = screen;
    find("screen").replaceChildren(screen.element);
    find("screen").setAttribute("aria-busy", "false");
    document.body.dataset.screen = screen.name;
    if (this.state) screen.update();
    this.telegram.setBackButton(screen.back ? () => this.goBack() : null);
    this.refreshAction();
    if (isQuiet) return;
    window.scrollTo(0, 0);
    // The first screen is read from its beginning anyway.
    if (!isFirst) screen.element.querySelector("h1").focus({ preventScroll: true });
  }

  goBack() {
    if (find("dialog").open) find("dialog").close();
    else this.screen.back?.();
  }

  pressed() {
    const action = this.screen?.action();
    if (action && !action.isBusy) action.run();
  }

  /** Let the main button, Telegram's or the page's own, do what the screen wants it to. */
  refreshAction() {
    const action = this.screen?.action() ?? null;
    this.telegram.setMainButton(action);
    const isOurs = action !== null && !this.telegram.hasMainButton;
    find("bar").hidden = !isOurs;
    if (!isOurs) return;
    find("action").textContent = action.text;
    find("action").setAttribute("aria-disabled", String(Boolean(action.isBusy)));
    find("action").classList.toggle("button-busy", Boolean(action.isBusy));
  }

  confirm(heading, text, { yes, no }) {
    const dialog = find("dialog");
    if (!dialog.showModal) return Promise.resolve(window.confirm(`${heading}\n${text}`));
    find("dialog-title").textContent = heading;
    find("dialog-text").textContent = text;
    find("dialog-yes").textContent = yes;
    find("dialog-no").textContent = no;
    dialog.returnValue = "";
    find("dialog-yes").onclick = () => dialog.close("yes");
    find("dialog-no").onclick = () => dialog.close();
    dialog.showModal();
    return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
  }

  toast(text) {
    find("toast").textContent = text;
    find("toast").hidden = false;
    clearTimeout(this.toasting);
    this.toasting = setTimeout(() => (find("toast").hidden = true), TOAST_MILLISECONDS);
    this.announce(text);
  }

  announce(text) {
    // Emptied first: the same words twice would be read once.
    find("news").textContent = "";
    setTimeout(() => (find("news").textContent = text), 50);
  }

  speak(language) {
    this.words = wordsOf(language);
    document.documentElement.lang = language;
    document.documentElement.dir = this.words.direction;
    document.title = this.words.say("page_title");
  }

  /** The language was known better by the server, or has just been changed in the chat. */
  speakAnew(language) {
    this.speak(language);
    const { payment, name } = this.screen ?? {};
    if (payment) this.showPayment(payment);
    else if (name === "choose") this.show(screens.choose(this, this.wish()), { isQuiet: true });
  }
}

function reload() {
  location.reload();
}

findTelegram(reload).then((webApp) => new App(wrap(webApp)).start());
