// The bot's buttons: under a message, or in place of the phone's keyboard.

import { find, make } from "./parts.js";

/** Make the buttons under a message. Return null if the message has none. */
export function inlineKeyboard(markup, press) {
  if (!markup?.inline_keyboard) return null;
  return make("div", { className: "keys" }, ...rows(markup.inline_keyboard, (button) => inlineKey(button, press)));
}

function inlineKey(button, press) {
  const key = make("button", { type: "button", className: `key ${button.style ?? ""}`, onclick: () => press(button) }, button.text, mark(button));
  if (button.copy_text) key.dataset.copies = button.copy_text.text;
  if (button.web_app) key.dataset.opensApp = "";
  if (button.url) key.dataset.url = button.url;
  return key;
}

/** Make Telegram's icon for a button that copies, opens the Mini App or follows a link. Return null for other buttons. */
function mark(button) {
  const kind = ["copy_text", "web_app", "url"].find((name) => name in button);
  return kind ? make("span", { className: `mark ${kind}`, "aria-hidden": "true" }) : null;
}

function rows(keys, toKey) {
  return keys.map((row) => make("div", { className: "row-of-keys" }, ...row.map(toKey)));
}

/** The bot's reply keyboard. A one-time keyboard hides after a press. The button `keyboard-toggle` shows it again. */
export class Keyboard {
  constructor(press) {
    this.press = press;
    this.markup = null;
    find("keyboard-toggle").addEventListener("click", () => this.setOpen(find("reply-keyboard").hidden));
  }

  show(markup) {
    if (JSON.stringify(markup) === JSON.stringify(this.markup)) return;
    this.markup = markup;
    const keys = rows(markup?.keyboard ?? [], (button) => this.key(button));
    find("reply-keyboard").replaceChildren(...keys);
    find("keyboard-toggle").hidden = !markup;
    this.setOpen(Boolean(markup));
  }

  key(button) {
    const key = make("button", { type: "button", className: `key ${button.style ?? ""}`, onclick: () => this.use(button) }, button.text, mark(button));
    if (button.web_app) key.dataset.opensApp = "";
    return key;
  }

  use(button) {
    if (this.markup.one_time_keyboard) this.setOpen(false);
    this.press(button);
  }

  setOpen(isOpen) {
    find("reply-keyboard").hidden = !isOpen;
    find("keyboard-toggle").setAttribute("aria-expanded", String(isOpen));
  }
}
