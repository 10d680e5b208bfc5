// Helpers for all screens.

/** Make an element: `h("p.hint", {onclick}, "text")`, attributes optional. Children that are false or null are left out. */
export function h(selector, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag);
  element.classList.add(...classes);
  const attributes = children[0]?.constructor === Object ? children.shift() : {};
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter(Boolean));
  return element;
}

/** A screen's header; its title gets the focus when the screen is shown. */
export function head(mood, title, lead) {
  const cup = document.getElementById("cup").content.firstElementChild.cloneNode(true);
  cup.classList.add(`cup-${mood}`);
  return h("header.head", cup, h("h1", { tabindex: -1 }, title), h("p.lead", lead));
}

/** A section that is redrawn only if its content has changed, to keep the focus in it. */
export function changing(selector, draw) {
  const element = h(selector, { hidden: "" });
  let drawn;
  const show = (shown) => {
    const mark = JSON.stringify(shown);
    if (mark === drawn) return;
    drawn = mark;
    element.replaceChildren(...draw(shown).filter(Boolean));
    element.hidden = !element.firstChild;
  };
  return [element, show];
}

/** Set a text only if it differs. Otherwise a screen reader may repeat it. */
export function write(element, text) {
  const isNew = element.textContent !== text;
  if (isNew) element.textContent = text;
  return isNew;
}

/** Copy the text with a method that this client supports. Return false if the client supports no method. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** execCommand still works in frames and web views that deny the clipboard API. */
function copyBySelection(text) {
  const field = h("textarea.unseen", { readonly: "", "aria-hidden": true, tabindex: -1 }, text);
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  } finally {
    field.remove();
    focused?.focus({ preventScroll: true });
  }
}
