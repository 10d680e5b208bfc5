// Starts the page: fetches the bot's amounts and rates, shows the right screens.

import { centsOf, readDeepLink } from "./amounts.js";
import { write } from "./parts.js";
import * as screens from "./screens.js";
import { Listening, Problem, serverFor } from "./server.js";
import { findTelegram, wrap } from "./telegram.js";
import { followTheme } from "./theme.js";
import { languageOf, wordsOf } from "./words.js";

const RETRY_MILLISECONDS = 5000;
const TOAST_MILLISECONDS = 3000;
const parameters = new URLSearchParams(location.search);
const find = (id) => document.getElementById(id);
const reload = () => location.reload();

class App {
  words = null;
  offer = null;
  state = null;
  screen = null;
  trouble = null;

  /** *speaking* is a promise that resolves to the texts. */
  constructor(telegram, speaking) {
    this.telegram = telegram;
    // A page that a keyboard button opens gets no user from Telegram, and can send one message.
    this.isForChat = parameters.get("mode") === "keyboard" || (telegram.isInside && !telegram.initData);
    this.server = serverFor(this.isForChat ? "" : telegram.initData);
    this.speaking = speaking.then((words) => this.words || this.speak(words));
    find("action").addEventListener("click", () => this.pressed());
    find("connection-close").addEventListener("click", telegram.close);
    telegram.onMainButton(() => this.pressed());
    telegram.onBackButton(() => this.goBack());
    followTheme(telegram);
    telegram.begin();
  }

  async start() {
    const isKnown = this.telegram.isInside && !this.isForChat;
    if (isKnown) this.listening = new Listening(this.server, this);
    [this.offer] = await Promise.all([this.fetchOffer(), this.speaking]);
    if (isKnown) this.settle();
    else if (this.isForChat && this.telegram.isInside) this.show(screens.chooseForChat(this, this.wish()));
    else if (this.telegram.isLoaded) this.show(screens.outside(this));
    else this.show(screens.problem(this, new Problem("script_missing"), reload));
  }

  async fetchOffer() {
    for (;;) {
      try {
        return await this.server.offer();
      } catch (trouble) {
        await this.speaking;
        await new Promise((retry) => {
          // Keep a final problem shown: no retry helps.
          if (!this.trouble?.isFinal) this.showProblem(trouble, retry);
          window.ononline = retry;
          setTimeout(retry, RETRY_MILLISECONDS);
        });
      }
    }
  }

  async takeState(state) {
    const language = languageOf(state.language);
    // If a new language does not load, keep the old one; the next call retries.
    const words = language === document.documentElement.lang ? null : await wordsOf(language).catch(() => null);
    if (words) this.speakAnew(words);
    this.state = state;
    this.settle();
  }

  /** *trouble*: the connection's `Problem`, or null. */
  takeConnection(trouble) {
    const { words, state } = this;
    const wasAway = this.trouble !== null;
    this.trouble = trouble;
    if (!words) return;
    if (trouble && !state) return void ((this.offer || trouble.isFinal) && this.showTrouble());
    const text = trouble ? words.say(words.has(trouble.name) ? trouble.name : "service_away") : "";
    const isFinal = Boolean(trouble?.isFinal);
    if (write(find("connection-text"), text) && text) this.announce(text);
    find("connection-close").textContent = words.say("close");
    find("connection-close").hidden = !isFinal || !this.telegram.canClose;
    find("connection").hidden = !trouble;
    find("connection").classList.toggle("connection-final", isFinal);
    document.body.classList.toggle("troubled", Boolean(trouble));
    if (!trouble && wasAway && state) this.toast(words.say("back_online"));
    if (state) this.screen?.update?.();
  }

  showTrouble() {
    this.showProblem(this.trouble, () => this.listening.hurry());
  }

  showProblem(trouble, retry) {
    this.show(screens.problem(this, trouble, retry), { isQuiet: this.screen?.name === "problem" });
  }

  /** Show the first screen, or update the shown screen to the newest state. */
  settle() {
    if (!this.offer) return;
    if (!this.state) return void (this.trouble && this.showTrouble());
    if (!this.screen || this.screen.name === "problem") return this.begin();
    const shown = this.screen.payment;
    const known = this.state.payments.find(({ payment_id: id }) => id === shown?.payment_id);
    if (known && (known.status !== shown.status || Boolean(known.paid) !== Boolean(shown.paid))) return this.showPayment(known);
    this.tellOfOthers();
    this.screen.update();
  }

  begin() {
    const wish = this.wish();
    const open = this.openPayments();
    const isMeant = ({ amount, currency }) => centsOf(amount) === wish.cents && currency === (wish.currency ?? this.offer.currency);
    const meant = wish.cents === undefined ? open[0] : open.find(isMeant);
    this.tellOfOthers();
    this.show(meant ? screens.payment(this, meant) : screens.choose(this, wish));
  }

  /** Announce payments that were open and are now paid. */
  tellOfOthers() {
    for (const { payment_id: id, paid } of this.state.payments) if (paid && this.wasOpen?.has(id)) this.toast(this.rejoice(paid));
    this.rememberOpen();
  }

  rememberOpen() {
    this.wasOpen = new Set(this.openPayments().map(({ payment_id: id }) => id));
  }

  rejoice(paid) {
    this.telegram.feel("success");
    return this.words.say("paid_news", { credits: this.words.credits(paid.credits) });
  }

  openPayments() {
    return this.state.payments.filter(({ status }) => status === "pending");
  }

  get isWaiting() {
    return Boolean(this.state && this.openPayments().length);
  }

  /** Return the deep link's amount, or `{}`. */
  wish() {
    return readDeepLink(this.telegram.startParam ?? parameters.get("tgWebAppStartParam")) ?? {};
  }

  showPayment(payment) {
    const { payment: shown } = this.screen ?? {};
    if (payment.paid && shown?.payment_id === payment.payment_id && !shown.paid) this.announce(this.rejoice(payment.paid));
    this.keep(payment);
    if (payment.status === "completed" && !payment.paid) {
      this.toast(this.words.say("taken_back"));
      return this.show(screens.choose(this, {}));
    }
    this.show(payment.status === "pending" && !payment.paid ? screens.payment(this, payment) : screens.ended(this, payment));
  }

  /** Open the chat with the bot. The payload of /start is *word*. */
  goToChat(word) {
    this.telegram.openTelegramLink(`${this.offer.bot_url}?start=${word}`);
    // Close the page, because some clients open the chat behind it.
    this.telegram.close();
  }

  /** Let the user pick a chat to which Telegram sends a link to the bot. */
  share() {
    const { bot_url: bot, page_url: page } = this.offer;
    const shared = new URLSearchParams({ url: bot ?? page, text: this.words.say("share_text") });
    this.telegram.openTelegramLink(`https://t.me/share/url?${shared}`);
  }

  /** Put *payment* into `state`, the data last sent by the bot. */
  keep(payment) {
    const others = this.state.payments.filter(({ payment_id: id }) => id !== payment.payment_id);
    const payments = [payment, ...others].sort((one, other) => other.created_at.localeCompare(one.created_at));
    this.state = { ...this.state, payments };
    this.rememberOpen();
  }

  async refresh() {
    try {
      await this.takeState(await this.server.state());
    } catch {
      // Ignore: the event stream sends the state too.
    }
  }

  show(screen, { isQuiet = false } = {}) {
    const isFirst = !this.screen;
    this.screen = screen;
    // Close the dialog of the previous screen.
    find("dialog").close?.();
    find("screen").replaceChildren(screen.element);
    find("screen").setAttribute("aria-busy", false);
    if (this.state) screen.update?.();
    this.telegram.showBackButton(Boolean(screen.back));
    this.refreshAction();
    if (isQuiet) return;
    window.scrollTo(0, 0);
    // Do not focus the first screen: screen readers begin at its top.
    if (!isFirst) screen.element.querySelector("h1").focus({ preventScroll: true });
  }

  goBack() {
    if (find("dialog").open) find("dialog").close();
    else this.screen.back?.();
  }

  /** Run the main button's action; the button is busy meanwhile. */
  async pressed() {
    const { screen } = this;
    const running = !screen?.isBusy && screen?.action?.()?.run();
    if (!running) return;
    screen.isBusy = true;
    this.refreshAction();
    await running;
    screen.isBusy = false;
    this.refreshAction();
  }

  /** Update the main button, Telegram's or the page's own. */
  refreshAction() {
    const action = this.screen?.action?.();
    const isBusy = Boolean(this.screen?.isBusy);
    this.telegram.showMainButton(action?.text, isBusy);
    find("bar").hidden = !action || this.telegram.hasMainButton;
    find("action").textContent = action?.text ?? "";
    find("action").setAttribute("aria-disabled", isBusy);
    find("action").classList.toggle("button-busy", isBusy);
  }

  async confirmCancel() {
    const { say } = this.words;
    const dialog = find("dialog");
    if (!dialog.showModal) return window.confirm(`${say("cancel_ask")}\n${say("cancel_ask_hint")}`);
    const texts = { title: say("cancel_ask"), text: say("cancel_ask_hint"), yes: say("cancel_yes"), no: say("cancel_no") };
    for (const [part, text] of Object.entries(texts)) find(`dialog-${part}`).textContent = text;
    dialog.returnValue = "";
    find("dialog-yes").onclick = () => dialog.close("yes");
    find("dialog-no").onclick = () => dialog.close();
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
    return dialog.returnValue === "yes";
  }

  toast(text) {
    find("toast").textContent = text;
    find("toast").hidden = false;
    clearTimeout(this.toasting);
    this.toasting = setTimeout(() => (find("toast").hidden = true), TOAST_MILLISECONDS);
    this.announce(text);
  }

  announce(text) {
    // Clear the text first: screen readers skip an unchanged text.
    find("news").textContent = "";
    setTimeout(() => (find("news").textContent = text), 50);
  }

  speak(words) {
    this.words = words;
    document.documentElement.lang = words.language;
    document.title = words.say("page_title");
  }

  speakAnew(words) {
    this.speak(words);
    const { payment, name } = this.screen ?? {};
    if (payment) this.showPayment(payment);
    else if (name === "choose") this.show(screens.choose(this, this.wish()), { isQuiet: true });
  }
}

// If the texts do not load, wait forever: guard.js tells the user.
const speaking = wordsOf(document.documentElement.lang).catch(() => new Promise(() => {}));
findTelegram(reload).then((webApp) => new App(wrap(webApp), speaking).start());
