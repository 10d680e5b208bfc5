// The few parts that all screens are made of.

/** Make an element: attributes by name, listeners as `onclick`, true for attributes without a value. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A screen's title, which takes the focus when the screen is shown. */
export function title(text) {
  return h("h1", { tabindex: "-1" }, text);
}

export function cup(kind) {
  const drawn = document.getElementById("cup").content.cloneNode(true).firstElementChild;
  drawn.classList.add(`cup-${kind}`);
  return drawn;
}

/** A part of a screen that is drawn anew only when what it shows has changed, so that nobody loses the focus in it. */
export function changing(element, draw) {
  let drawn;
  return (shown) => {
    const mark = JSON.stringify(shown);
    if (mark === drawn) return;
    drawn = mark;
    const children = [draw(shown)].flat().filter(Boolean);
    element.replaceChildren(...children);
    element.hidden = !children.length;
  };
}

/** Write to the clipboard by whichever way this client has; false where it has none. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** The older way, which still works where a frame or a web view denies the newer one. */
function copyBySelection(text) {
  const field = h("textarea", { class: "unseen", readonly: true, "aria-hidden": "true", tabindex: "-1" }, text);
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  let isCopied = false;
  try {
    isCopied = document.execCommand("copy");
  } catch {
    // Denied: the caller shows the text to be copied by hand.
  }
  field.remove();
  focused?.focus?.({ preventScroll: true });
  return isCopied;
}

export function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}
