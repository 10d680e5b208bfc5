// A phone with Telegram: one person's chat with the bot.

import { Keyboard, inlineKeyboard } from "./keyboard.js";
import { clock, find, make, post, Refusal, showList } from "./parts.js";
import { richText } from "./rich.js";

const TOAST_MILLISECONDS = 3500;
const END_PIXELS = 80;
const ACTIONS = { typing: "typing…", upload_photo: "sending a photo…", upload_document: "sending a file…" };

const NO_SCRIPT =
  "The Mini App needs Telegram’s script, but telegram.org cannot be reached from here and there is no local copy. Install npm and run make demo again, or send /pay in the chat.";

export class Phone {
  /**
   * *app* is the Mini App in the phone. *onLink* gets each web address that is opened in the phone. *onCopy* gets each text
   * that is copied in the phone, because the demo has a clipboard of its own.
   */
  constructor({ app, onLink, onCopy }) {
    this.app = app;
    this.onLink = onLink;
    this.onCopy = onCopy;
    this.person = null;
    this.chat = null;
    this.answered = null;
    this.keyboard = new Keyboard((button) => this.pressReply(button));
    this.listen();
  }

  listen() {
    find("composer").addEventListener("submit", (event) => this.send(event));
    find("text").addEventListener("input", () => this.suggestCommands());
    find("text").addEventListener("keydown", (event) => event.key === "Escape" && this.hideCommands());
    find("menu").addEventListener("click", () => this.pressMenu());
    find("start").addEventListener("click", () => this.pressStart());
    find("block").addEventListener("click", () => this.toggleBlock());
    find("deep-link").addEventListener("click", () => this.closeMore() || this.open({ start_param: "10" }));
    find("replying").querySelector("button").addEventListener("click", () => this.replyTo(null));
    document.addEventListener("click", (event) => find("more").contains(event.target) || this.closeMore());
  }

  show(person, chat, bot) {
    const isOther = this.person !== person;
    if (isOther) this.meet(person);
    const isAtEnd = isOther || atEnd(find("messages"));
    this.chat = chat;
    this.bot = bot;
    // Telegram writes dates in the person's language. `rich.js` reads this language from `lang` to write dates.
    find("messages").lang = chat.language_code;
    find("bot-name").textContent = bot.first_name;
    find("bot-status").textContent = ACTIONS[chat.action] ?? (chat.action ? "busy…" : "bot");
    this.showMessages(chat);
    this.showComposer(chat);
    this.keyboard.show(chat.reply_keyboard);
    if (isAtEnd) find("messages").scrollTop = find("messages").scrollHeight;
    this.showAnswers(chat.callback_answers);
    clearTimeout(this.quieting);
    // A chat action, such as “typing…”, ends after five seconds. The sandbox then sends no new state, so use a timer.
    if (chat.action) this.quieting = setTimeout(() => (find("bot-status").textContent = "bot"), 5000);
  }

  meet(person) {
    this.person = person;
    this.answered = null;
    this.app.close();
    this.replyTo(null);
    this.hideCommands();
    find("text").value = "";
    find("messages").replaceChildren();
  }

  showMessages({ messages, description }) {
    const rows = messages.map((message) => ({ ...message, replied: quoted(messages, message.reply_to_message_id) }));
    showList(find("messages"), rows, ({ message_id: id }) => id, (message) => this.message(message));
    if (rows.length) return;
    const words = description || "No messages here yet. Press Start.";
    find("messages").replaceChildren(make("p", { className: "about", textContent: words }));
  }

  message(message) {
    const isFile = Boolean(message.photo || message.document);
    const text = isFile ? message.caption : message.text;
    const words = message.web_app_data ? serviceWords(message.web_app_data) : richText(text, message.entities, (what) => this.act(what));
    const when = make("time", { textContent: `${message.edited ? "edited " : ""}${clock(message.date * 1000)}` });
    const reply = message.from === "bot" ? this.replyButton(message) : null;
    const bubble = make("div", { className: "bubble" }, message.replied && make("blockquote", { className: "quote", textContent: message.replied }),
      picture(message), file(message), make("div", { className: "words" }, words), make("span", { className: "meta" }, reply, when));
    const kind = message.web_app_data ? "service" : message.from;
    const who = make("span", { className: "unseen", textContent: message.from === "bot" ? "Bot: " : "You: " });
    bubble.prepend(who);
    const keys = inlineKeyboard(message.reply_markup, (button) => this.pressInline(button, message));
    return make("article", { className: `message ${kind}` }, bubble, keys);
  }

  replyButton(message) {
    return make("button", { type: "button", className: "reply", textContent: "Reply", onclick: () => this.replyTo(message) });
  }

  replyTo(message) {
    this.replying = message?.message_id ?? null;
    find("replying").hidden = !message;
    find("replying").querySelector("span").textContent = message ? `Reply: ${(message.text || message.caption || "file").slice(0, 60)}` : "";
    if (message) find("text").focus();
  }

  showComposer({ standing, menu_button: menu, force_reply: forced }) {
    const isOpen = standing === "open";
    find("composer").hidden = !isOpen;
    find("start").hidden = isOpen || standing === "deleted";
    find("start").textContent = standing === "blocked" ? "Unblock" : "Start";
    find("block").textContent = standing === "blocked" ? "Unblock the bot" : "Block the bot";
    find("menu").hidden = false;
    find("menu").textContent = menu.type === "web_app" ? menu.text : "☰ Menu";
    find("menu").classList.toggle("opens-app", menu.type === "web_app");
    find("text").placeholder = forced?.input_field_placeholder ?? "Message";
    if (forced && this.forced !== forced.message_id) this.replyTo(this.chat.messages.find(({ message_id: id }) => id === forced.message_id));
    this.forced = forced?.message_id;
  }

  showAnswers(answers) {
    const before = this.answered;
    this.answered = new Set(answers.map(({ callback_query_id: id }) => id));
    if (!before) return;
    for (const { callback_query_id: id, text, show_alert: isAlert } of answers) {
      if (before.has(id) || !text) continue;
      if (isAlert) this.app.popup.ask({ message: text, buttons: [{ id: "ok", type: "ok" }] });
      else this.toast(text);
    }
  }

  // Actions of the person ---------------------------------------------------------------------------------------------

  async do(path, body) {
    try {
      return await post(`/telegram/chats/${this.person}/${path}`, body);
    } catch (error) {
      this.toast(error instanceof Refusal ? error.message : "Telegram does not answer.");
      return null;
    }
  }

  async say(text) {
    const reply = this.replying ? { reply_to_message_id: this.replying } : {};
    const sent = await this.do("messages", { text, ...reply });
    if (sent) this.replyTo(null);
    find("messages").scrollTop = find("messages").scrollHeight;
    return sent;
  }

  async send(event) {
    event.preventDefault();
    const text = find("text").value.trim();
    if (!text) return;
    find("text").value = "";
    this.hideCommands();
    if (!(await this.say(text))) find("text").value = text;
  }

  act({ command, copied, url }) {
    if (command) return void this.say(command);
    if (copied) return void this.copy(copied);
    return this.followLink(url);
  }

  async copy(text) {
    this.onCopy(text);
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // The browser refuses access to its clipboard. The demo still works, because `onCopy` has given the text to the checkout.
    }
    this.toast(`Copied: ${text}`);
  }

  /** Open an address in the demo. Return false if the address must be opened in a new tab. */
  followLink(url) {
    const link = new URL(url);
    if (link.hostname === "t.me") return this.openTelegramLink(link.pathname + link.search);
    return this.onLink(url);
  }

  openTelegramLink(path) {
    const link = new URL(path, "https://t.me");
    if (link.pathname === "/share/url") return this.toast(`Telegram would let you share: ${link.searchParams.get("text")} ${link.searchParams.get("url")}`) ?? true;
    if (link.pathname.slice(1).toLowerCase() !== this.bot.username.toLowerCase()) return false;
    if (link.searchParams.has("startapp")) this.open({ start_param: link.searchParams.get("startapp") });
    else this.app.close();
    if (link.searchParams.has("start")) this.say(`/start ${link.searchParams.get("start")}`.trim());
    return true;
  }

  pressInline(button, { message_id: id }) {
    if (button.copy_text) return this.copy(button.copy_text.text);
    if (button.web_app) return this.open({ button: button.text, message_id: id });
    if (button.url) return this.followLink(button.url) || window.open(button.url, "_blank", "noopener");
    return this.do("press", { button: button.callback_data ?? button.text, message_id: id });
  }

  pressReply(button) {
    return button.web_app ? this.open({ button: button.text }) : this.say(button.text);
  }

  pressMenu() {
    if (this.chat.menu_button.type === "web_app") return this.open({ menu: true });
    if (find("commands").hidden) this.showCommands(this.chat.commands);
    else this.hideCommands();
  }

  async pressStart() {
    if (this.chat.standing === "blocked") await this.do("unblock");
    await this.say("/start");
  }

  async toggleBlock() {
    this.closeMore();
    await this.do(this.chat.standing === "blocked" ? "unblock" : "block");
  }

  async open(how) {
    if (!(await hasScript())) return this.app.explain(NO_SCRIPT);
    const launch = await this.do("open", { ...how, theme: document.documentElement.dataset.theme });
    if (launch) this.app.open(launch);
  }

  async sendData(data, button_text) {
    await this.do("web_app_data", { data, button_text });
  }

  // Helpers -----------------------------------------------------------------------------------------------------------

  suggestCommands() {
    const typed = find("text").value;
    const fitting = this.chat.commands.filter(({ command }) => `/${command}`.startsWith(typed));
    if (/^\/\w*$/.test(typed) && fitting.length) this.showCommands(fitting);
    else this.hideCommands();
  }

  showCommands(commands) {
    const rows = commands.map(({ command, description }) => make("button", { type: "button", onclick: () => this.pickCommand(command) },
      make("b", { textContent: `/${command}` }), make("span", { textContent: description })));
    find("commands").replaceChildren(...rows);
    find("commands").hidden = rows.length === 0;
  }

  pickCommand(command) {
    this.hideCommands();
    find("text").value = "";
    find("text").focus();
    this.say(`/${command}`);
  }

  hideCommands() {
    find("commands").hidden = true;
  }

  closeMore() {
    find("more").open = false;
  }

  toast(text) {
    find("toast").textContent = text;
    clearTimeout(this.toasting);
    this.toasting = setTimeout(() => (find("toast").textContent = ""), TOAST_MILLISECONDS);
  }
}

function atEnd(list) {
  return list.scrollHeight - list.scrollTop - list.clientHeight < END_PIXELS;
}

function quoted(messages, id) {
  const found = id && messages.find(({ message_id: other }) => other === id);
  return found ? (found.text || found.caption || "file").slice(0, 80) : null;
}

function serviceWords({ button_text: name }) {
  return `Data of the button “${name}” was sent to the bot`;
}

function picture({ photo, caption }) {
  if (!photo) return null;
  return make("img", { src: fileAddress(photo), alt: caption || photo.file_name, loading: "lazy", onload: keepAtEnd });
}

/** Scroll to the end again after a picture has loaded, because the picture pushes the last message out of view. */
function keepAtEnd({ target }) {
  const list = find("messages");
  if (list.scrollHeight - list.scrollTop - list.clientHeight < target.height + END_PIXELS) list.scrollTop = list.scrollHeight;
}

function file({ document: sent }) {
  if (!sent) return null;
  const size = sent.file_size < 1024 ? `${sent.file_size} B` : `${Math.ceil(sent.file_size / 1024)} KB`;
  return make("a", { className: "file", href: fileAddress(sent), download: sent.file_name },
    make("span", { className: "file-icon", textContent: "⬇", "aria-hidden": "true" }), make("span", {}, make("b", { textContent: sent.file_name }), make("small", { textContent: size })));
}

function fileAddress({ file_id: id }) {
  return `/telegram/files/${encodeURIComponent(id)}`;
}

/** Return whether pages can load Telegram's script. If the sandbox cannot tell, return true. */
async function hasScript() {
  try {
    const answer = await fetch("/telegram/script");
    return !answer.ok || (await answer.json()).source !== null;
  } catch {
    return true;
  }
}
