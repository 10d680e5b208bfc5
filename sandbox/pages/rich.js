// Turns Telegram's formatted text into elements.

import { isSafeLink, make } from "./parts.js";

const TAGS = { bold: "b", italic: "i", underline: "u", strikethrough: "s", code: "code", pre: "pre", blockquote: "blockquote" };

/**
 * Format *text* by its entities. *act* is called with the clicked `{command}`, `{url}` or `{copied}`.
 *
 * The offsets and lengths of entities count UTF-16 code units, as JavaScript's strings do. An outer entity comes before the
 * entities inside it.
 */
export function richText(text, entities, act) {
  return format(text, [...entities], 0, text.length, act);
}

function format(text, entities, from, until, act) {
  const place = document.createDocumentFragment();
  const rest = entities.filter(({ offset, length }) => offset >= from && offset + length <= until);
  let at = from;
  while (rest.length) {
    const entity = rest.shift();
    if (entity.offset < at) continue;
    const end = entity.offset + entity.length;
    place.append(text.slice(at, entity.offset));
    place.append(dress(entity, format(text, rest, entity.offset, end, act), text.slice(entity.offset, end), act));
    at = end;
  }
  place.append(text.slice(at, until));
  return place;
}

function dress(entity, content, words, act) {
  const url = entity.type === "url" ? words : entity.url;
  if (url && isSafeLink(url)) return link(url, content, act);
  if (entity.type === "bot_command") return pressable("command", content, () => act({ command: words }));
  if (entity.type === "code") return pressable("code", content, () => act({ copied: words }), `Copy ${words}`);
  if (entity.type === "spoiler") return make("span", { className: "spoiler", tabIndex: 0 }, content);
  if (entity.type === "expandable_blockquote") return collapsed(content);
  if (entity.type === "date_time" && entity.date_time_format) return time(entity, words);
  return make(TAGS[entity.type] ?? "span", {}, content);
}

/** Make an expandable quotation. Like Telegram's clients, show its first lines, and the rest after a tap. */
function collapsed(content) {
  const quotation = make("blockquote", { className: "collapsed", tabIndex: 0, onclick: () => quotation.classList.remove("collapsed") }, content);
  quotation.addEventListener("keydown", ({ key }) => key === "Enter" && quotation.click());
  return quotation;
}

/**
 * Like Telegram's clients, write the time in the reader's zone and language.
 *
 * *words* is the text that the bot sent in this place. Show it unchanged for the format `r` (relative).
 */
function time({ unix_time: unix, date_time_format: format }, words) {
  const date = new Date(unix * 1000);
  const styles = {
    ...(format.includes("w") && { weekday: "long" }),
    ...(/d/i.test(format) && { day: "numeric", month: format.includes("D") ? "long" : "2-digit", year: "numeric" }),
    ...(/t/i.test(format) && { hour: "2-digit", minute: "2-digit", ...(format.includes("T") && { second: "2-digit" }), hourCycle: "h23" }),
  };
  const shown = format === "r" ? words : date.toLocaleString(document.getElementById("messages").lang || undefined, styles);
  return make("time", { dateTime: date.toISOString(), title: words }, shown);
}

function link(url, content, act) {
  const element = make("a", { href: url, target: "_blank", rel: "noopener" }, content);
  element.addEventListener("click", (event) => {
    const isForNewTab = event.ctrlKey || event.metaKey || event.shiftKey;
    if (!isForNewTab && act({ url })) event.preventDefault();
  });
  return element;
}

function pressable(className, content, onclick, label) {
  return make("button", { type: "button", className: `in-text ${className}`, onclick, title: label }, content);
}
