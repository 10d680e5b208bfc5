// A dialog over the phone's screen: a popup of the Mini App, or an alert of the bot.

import { find, make } from "./parts.js";

const WORDS = { ok: "OK", close: "Close", cancel: "Cancel" };

export class Popup {
  constructor() {
    this.settle = null;
    find("popup").addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Show the dialog. Resolves to the id of the pressed button, or null if the dialog was dismissed. */
  ask({ title, message, buttons }) {
    this.dismiss();
    find("popup-title").textContent = title ?? "";
    find("popup-title").hidden = !title;
    find("popup-text").textContent = message;
    const keys = buttons.map(({ id, type, text }) => make("button", { type: "button", className: type, textContent: text ?? WORDS[type] ?? "OK", onclick: () => this.answer(id) }));
    find("popup-buttons").replaceChildren(...keys);
    this.focused = document.activeElement;
    find("popup").hidden = false;
    keys[0].focus();
    return new Promise((resolve) => (this.settle = resolve));
  }

  dismiss() {
    this.answer(null);
  }

  answer(id) {
    if (!this.settle) return;
    find("popup").hidden = true;
    this.focused?.focus?.({ preventScroll: true });
    this.settle(id);
    this.settle = null;
  }

  onKey(event) {
    event.stopPropagation();
    if (event.key === "Escape") this.dismiss();
    if (event.key !== "Tab") return;
    // The popup is modal, so keep the focus inside it.
    const keys = [...find("popup-buttons").children];
    const next = keys.indexOf(document.activeElement) + (event.shiftKey ? -1 : 1);
    keys[(next + keys.length) % keys.length].focus();
    event.preventDefault();
  }
}
