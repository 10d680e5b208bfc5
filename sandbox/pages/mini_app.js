// Show the Mini App in a frame. Like Telegram's client, answer the requests that Telegram's script sends from this frame.

import { find } from "./parts.js";
import { Popup } from "./popup.js";

// In the browser's session storage, Telegram's script keeps items whose names begin with this text. After a reload of the Mini
// App, the script finds the items again. `open` deletes the items, so that a new launch does not find them.
const SCRIPT_MEMORY = "__telegram__";
const SHEET = "chat";

export class MiniApp {
  /** The Mini App's page sends requests. The callbacks get those that this class cannot answer itself. */
  constructor({ onLink, onTelegramLink, onData, onCopy, onChange }) {
    this.handlers = { onLink, onTelegramLink, onData, onCopy, onChange };
    this.resizing = new ResizeObserver(() => this.tellSize());
    this.popup = new Popup();
    this.launch = null;
    this.themes = {};
    this.reset();
    window.addEventListener("message", (event) => this.hear(event));
    find("main-button").addEventListener("click", () => this.press("main"));
    find("secondary-button").addEventListener("click", () => this.press("secondary"));
    find("sheet-back").addEventListener("click", () => this.tell("back_button_pressed"));
    find("sheet-close").addEventListener("click", () => this.leave());
    find("sheet").addEventListener("keydown", (event) => event.key === "Escape" && this.leave());
    this.load(null);
  }

  get theme() {
    return this.themes[document.documentElement.dataset.theme] ?? {};
  }

  get isOpen() {
    return this.launch !== null;
  }

  reset() {
    this.hasBack = false;
    this.needsConfirmation = false;
    this.painted = {};
    for (const property of ["--sheet-head", "--sheet-page", "--sheet-bar"]) find("sheet").style.removeProperty(property);
    this.buttons = { main: {}, secondary: {} };
    this.showButtons();
    this.showBack();
  }

  /** Tell the user in a popup why the Mini App cannot be opened. */
  explain(message) {
    return this.popup.ask({ message, buttons: [{ id: "ok", type: "ok" }] });
  }

  open(launch) {
    for (const name of Object.keys(sessionStorage)) if (name.startsWith(SCRIPT_MEMORY)) sessionStorage.removeItem(name);
    this.launch = launch;
    this.reset();
    find("sheet").hidden = false;
    find("sheet").classList.add("loading");
    find("sheet-title").textContent = find("bot-name").textContent;
    find(SHEET).inert = true;
    this.load(launch.url);
    find("sheet-close").focus({ preventScroll: true });
    find("glass").scrollIntoView({ block: "nearest" });
    this.handlers.onChange();
  }

  /** Load *url* into a new frame. A used frame keeps its history, and does not reload if only the part after the # differs. */
  load(url) {
    const fresh = find("app").cloneNode();
    fresh.removeAttribute("src");
    if (url) fresh.src = url;
    fresh.addEventListener("load", () => {
      this.shareClipboard();
      this.uncover();
    });
    this.resizing.disconnect();
    find("app").replaceWith(fresh);
    this.resizing.observe(fresh);
    this.frame = fresh;
  }

  async leave() {
    const question = { message: "Changes that you made may not be saved.", buttons: [{ id: "close", type: "destructive", text: "Close anyway" }, { id: "", type: "cancel" }] };
    if (this.needsConfirmation && (await this.popup.ask(question)) !== "close") return;
    this.close();
  }

  close() {
    this.popup.dismiss();
    if (!this.isOpen) return;
    this.launch = null;
    find("sheet").hidden = true;
    find(SHEET).inert = false;
    this.load(null);
    this.reset();
    find("text").focus({ preventScroll: true });
    this.handlers.onChange();
  }

  setThemes(themes) {
    this.themes = themes;
  }

  changeTheme() {
    for (const [property, colour] of Object.entries(this.painted)) this.paint(property, colour);
    this.tell("theme_changed", { theme_params: this.theme });
  }

  // Messages from the page --------------------------------------------------------------------------------------------

  hear(event) {
    if (!this.isOpen || event.source !== this.frame.contentWindow) return;
    const { eventType, eventData } = readMessage(event.data);
    const handle = this.wishes[eventType];
    if (handle) handle(eventData ?? {});
  }

  wishes = {
    web_app_ready: () => this.uncover(),
    web_app_expand: () => this.tellSize(),
    web_app_close: () => this.close(),
    web_app_setup_main_button: (button) => this.setButton("main", button),
    web_app_setup_secondary_button: (button) => this.setButton("secondary", button),
    web_app_setup_back_button: ({ is_visible: isVisible }) => this.setBack(isVisible),
    web_app_setup_closing_behavior: ({ need_confirmation: isNeeded }) => (this.needsConfirmation = Boolean(isNeeded)),
    web_app_set_header_color: (colour) => this.paint("--sheet-head", colour),
    web_app_set_background_color: (colour) => this.paint("--sheet-page", colour),
    web_app_set_bottom_bar_color: (colour) => this.paint("--sheet-bar", colour),
    web_app_request_theme: () => this.changeTheme(),
    web_app_request_viewport: () => this.tellSize(),
    web_app_request_safe_area: () => this.tell("safe_area_changed", { top: 0, bottom: 0, left: 0, right: 0 }),
    web_app_request_content_safe_area: () => this.tell("content_safe_area_changed", { top: 0, bottom: 0, left: 0, right: 0 }),
    web_app_trigger_haptic_feedback: (how) => this.shake(how),
    web_app_open_link: ({ url }) => this.handlers.onLink(url) || window.open(url, "_blank", "noopener"),
    web_app_open_tg_link: ({ path_full: path }) => this.handlers.onTelegramLink(path),
    web_app_data_send: ({ data }) => this.takeData(data),
    web_app_open_popup: (question) => this.ask(question),
    web_app_request_write_access: () => this.askForWriteAccess(),
    // In Telegram, only a Mini App of the attachment menu may read the clipboard. Other Mini Apps get an answer without a text.
    web_app_read_text_from_clipboard: ({ req_id: id }) => this.tell("clipboard_text_received", { req_id: id }),
  };

  setButton(which, button) {
    this.buttons[which] = { ...this.buttons[which], ...button };
    this.showButtons();
    this.handlers.onChange();
  }

  setBack(isVisible) {
    this.hasBack = Boolean(isVisible);
    this.showBack();
  }

  /** Accept data only from a page that a keyboard button opened. As in Telegram, silently ignore data from other pages. */
  takeData(data) {
    if (!this.launch.sends_data) return;
    const { button_text: name } = this.launch;
    this.close();
    this.handlers.onData(data, name);
  }

  async ask(question) {
    const button = await this.popup.ask(question);
    this.tell("popup_closed", button === null ? {} : { button_id: button });
  }

  async askForWriteAccess() {
    const question = { message: `Allow ${find("bot-name").textContent} to send you messages?`, buttons: [{ id: "allow", type: "default", text: "Allow" }, { id: "", type: "cancel" }] };
    const status = (await this.popup.ask(question)) === "allow" ? "allowed" : "cancelled";
    this.tell("write_access_requested", { status });
  }

  /** Pass each text that is copied in the Mini App to `onCopy`, so that the demo can paste the text outside the Mini App. */
  shareClipboard() {
    try {
      const { clipboard } = this.frame.contentWindow.navigator;
      const write = clipboard.writeText.bind(clipboard);
      clipboard.writeText = (text) => {
        this.handlers.onCopy(text);
        return write(text);
      };
    } catch {
      // If the Mini App and the demo have different origins, or the browser has no clipboard, the demo's guide cannot see that
      // a code was copied.
    }
  }

  /** Show the page. As in Telegram, this happens when the page calls ready(), or at the latest when the page has loaded. */
  uncover() {
    find("sheet").classList.remove("loading");
  }

  // Messages to the page ----------------------------------------------------------------------------------------------

  tell(eventType, eventData = {}) {
    if (this.isOpen) this.frame.contentWindow.postMessage(JSON.stringify({ eventType, eventData }), "*");
  }

  tellSize() {
    const { clientHeight: height, clientWidth: width } = this.frame;
    if (height) this.tell("viewport_changed", { height, width, is_state_stable: true, is_expanded: true });
  }

  press(which) {
    const { is_active: isActive, is_progress_visible: isBusy } = this.buttons[which];
    if (isActive !== false && !isBusy) this.tell(`${which}_button_pressed`);
  }

  // The sheet --------------------------------------------------------------------------------------------------------

  showButtons() {
    for (const which of ["main", "secondary"]) this.showButton(find(`${which}-button`), this.buttons[which]);
    const isEmpty = !this.buttons.main.is_visible && !this.buttons.secondary.is_visible;
    if (find("bottom-bar").hidden !== isEmpty) find("bottom-bar").hidden = isEmpty;
  }

  showButton(element, { is_visible: isVisible, is_active: isActive, is_progress_visible: isBusy, text, color, text_color: textColor }) {
    element.hidden = !isVisible;
    element.textContent = text ?? "";
    element.setAttribute("aria-disabled", String(isActive === false || Boolean(isBusy)));
    element.classList.toggle("busy", Boolean(isBusy));
    element.style.setProperty("--key", colourOr(color, "#3390ec"));
    element.style.setProperty("--key-text", colourOr(textColor, "#ffffff"));
  }

  showBack() {
    find("sheet-back").hidden = !this.hasBack;
  }

  /**
   * Set the colour of the Mini App's header, background or bottom bar. If *colour* names a colour of the theme, the painted
   * colour changes with the theme.
   */
  paint(property, colour) {
    this.painted[property] = colour;
    find("sheet").style.setProperty(property, colourOr(colour.color ?? this.theme[colour.color_key], "var(--tg)"));
  }

  shake({ type, notification_type: news }) {
    const glass = find("glass");
    glass.classList.remove("shaken", "felt");
    // Reading the size forces a reflow. Without a reflow, adding the class again would not restart its animation.
    void glass.offsetWidth;
    glass.classList.add(type === "notification" && news ? "shaken" : "felt");
  }
}

function readMessage(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

function colourOr(colour, other) {
  return /^#[0-9a-f]{6}$/i.test(colour ?? "") ? colour : other;
}
