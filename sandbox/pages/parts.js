// Helpers that all other modules use.

export const find = (id) => document.getElementById(id);

/** Make an element. Strings become text, never markup. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export class Refusal extends Error {}

export async function call(method, path, body, options = {}) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), ...options });
  const answer = await response.json();
  if (!response.ok) throw new Refusal(answer.error ?? `answered ${response.status}`);
  return answer;
}

export const post = (path, body = {}) => call("POST", path, body);

/** Run *work*. In *place*, show the error of *work*, or the text that *words* makes from the result of *work*. */
export async function attempt(place, work, words = () => "") {
  try {
    const done = await work();
    say(place, words(done), true);
    return done;
  } catch (error) {
    say(place, error instanceof Refusal ? sentence(error.message) : "The sandbox does not answer. Try again in a moment.", false);
    return null;
  }
}

export function say(place, text, isGood = true) {
  place.textContent = text;
  place.classList.toggle("bad", !isGood);
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`.replace(/\.\.$/, ".");
}

/**
 * Show *items* in *list*. *render* makes the element of an item, and *key* returns the item's unique name.
 *
 * Unchanged items keep their elements, so that focus, scroll position and opened details are not lost.
 */
export function showList(list, items, key, render) {
  const kept = new Map([...list.children].map((element) => [element.dataset.key, element]));
  const shown = items.map((item) => {
    const [name, content] = [String(key(item)), JSON.stringify(item)];
    const old = kept.get(name);
    if (old?.demoContent === content) return old;
    const element = render(item, old);
    element.dataset.key = name;
    element.demoContent = content;
    return element;
  });
  const wanted = new Set(shown);
  for (const element of [...list.children]) if (!wanted.has(element)) element.remove();
  shown.forEach((element, index) => {
    if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
  });
}

/** Values that survive a reload, if the browser allows storage. */
export const memory = {
  get(name) {
    try {
      return localStorage.getItem(`demo-${name}`);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`demo-${name}`, value);
    } catch {
      // The browser does not allow storage, so the value is lost at the next reload.
    }
  },
};

const SIGNS = { USD: "$", EUR: "€", GBP: "£", UAH: "₴" };

export function money(amount, currency) {
  return currency in SIGNS ? `${SIGNS[currency]}${amount}` : `${amount} ${currency}`;
}

export function clock(when) {
  return new Date(when).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function clockSeconds(when) {
  return new Date(when).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

export function isSafeLink(url) {
  return /^(https?|tg):/i.test(url);
}
