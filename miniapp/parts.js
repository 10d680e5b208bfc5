// Functions that all screens use: they make elements, change them, and copy text.

/** Make an element, as in `h("p.hint", {onclick}, "text")`. Attributes are optional. False or null children are left out. */
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

/** Make the header of a screen. `App.show` moves the focus to its title. */
export function head(mood, title, lead) {
  const cup = document.getElementById("cup").content.firstElementChild.cloneNode(true);
  cup.classList.add(`cup-${mood}`);
  return h("header.head", cup, h("h1", { tabindex: -1 }, title), h("p.lead", lead));
}

/**
 * Make a section, and a function that fills it with the result of *draw*. The function redraws the section only if its
 * argument has changed, because a redrawn section loses the focus.
 */
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

/** Set the text only if it differs, because a screen reader may read a new text aloud. Return whether it differed. */
export function write(element, text) {
  const isNew = element.textContent !== text;
  if (isNew) element.textContent = text;
  return isNew;
}

/** Copy the text to the clipboard. Return false if the browser refuses all methods. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Copy with `execCommand`. It is deprecated, but works in frames and web views that deny the clipboard API. */
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
