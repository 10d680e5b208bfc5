// Connects the parts of the demo's page.

import { Checkout } from "./checkout.js";
import { Faults } from "./faults.js";
import { Guide } from "./guide.js";
import { Live } from "./live.js";
import { MiniApp } from "./mini_app.js";
import { call, find, memory } from "./parts.js";
import { People } from "./people.js";
import { Phone } from "./phone.js";
import { Webhook } from "./webhook.js";

const isCheckoutAlone = location.pathname.startsWith("/bmc/");
document.body.classList.toggle("checkout-alone", isCheckoutAlone);

const copied = (text) => {
  checkout.takeCopied(text);
  guide.takeCopied(text);
};
const app = new MiniApp({
  onLink: (url) => checkout.open(url),
  onTelegramLink: (path) => phone.openTelegramLink(path),
  onData: (data, button) => phone.sendData(data, button),
  onCopy: copied,
  onChange: () => guide.refresh(),
});
const phone = new Phone({ app, onLink: (url) => checkout.open(url), onCopy: copied });
const checkout = new Checkout({ onPaid: (order, paid) => guide.takePaid(order, paid), onChange: () => guide.refresh() });
const people = new People((id) => {
  guide.begin();
  live.watch(id);
});
const guide = new Guide({ app, checkout, people });
const webhook = new Webhook();
const faults = new Faults();
const live = new Live({ who: () => people.shown, onState: show, onConnection: (isThere) => (find("offline").hidden = isThere) });

function show(state) {
  webhook.show(state);
  faults.show(state);
  people.show(state.people);
  if (state.chat) phone.show(people.chosen, state.chat, state.bot);
  guide.show(state);
  if (!isCheckoutAlone) people.bring(state.people);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  find("theme").setAttribute("aria-pressed", String(theme === "dark"));
  app.changeTheme();
}

find("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  memory.set("theme", theme);
  setTheme(theme);
});
setTheme(memory.get("theme") ?? (window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
call("GET", "/demo/themes").then((themes) => app.setThemes(themes));
live.watch(isCheckoutAlone ? null : people.chosen);
live.run();
