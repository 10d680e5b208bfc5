// Connects the parts of the demo's page.

import { Checkout } from "./checkout.js";
import { Faults } from "./faults.js";
import { Guide } from "./guide.js";
import { Live } from "./live.js";
import { MiniApp } from "./mini_app.js";
import { attempt, call, find, memory, post } from "./parts.js";
import { People } from "./people.js";
import { Phone } from "./phone.js";
import { Stage } from "./stage.js";
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
const webhook = new Webhook({ onClaim: (story) => claim(story) });
const faults = new Faults();
const stage = new Stage({
  onStartOver: () => {
    checkout.reset();
    guide.restart();
  },
});
const live = new Live({ who: () => people.shown, onState: show, onConnection: (isThere) => (find("offline").hidden = isThere) });

function show(state) {
  if (!isCheckoutAlone) people.setCast(state.cast);
  // If `setCast` has just chosen another person, the state still contains the chat of the former person. Do not show this chat.
  const chat = state.person === people.chosen ? state.chat : null;
  stage.show(state);
  webhook.show(state);
  faults.show(state);
  people.show(state.people);
  if (chat) phone.show(people.chosen, chat, state.bot);
  guide.show({ ...state, chat });
  if (!isCheckoutAlone) people.bring(state.people, state.asked);
}

/** Send /claim ("I paid, but no credits came") from the payer's phone, and show this phone, because the bot asks questions. */
async function claim({ owner_id: owner }) {
  const claimer = owner ?? people.supporter;
  const sent = await attempt(find("payments-said"), () => post(`/telegram/chats/${claimer}/messages`, { text: "/claim" }));
  if (!sent) return;
  if (claimer !== people.chosen) people.choose(claimer);
  app.close();
  find("glass").scrollIntoView({ block: "nearest", behavior: "smooth" });
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
