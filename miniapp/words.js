// Speak the user's language: texts with values put in, numbers, money and times as the language writes them.

import en from "./locales/en.js";
import uk from "./locales/uk.js";

/** Not a hyphen, at which a line might break. */
const MINUS = "\u2212";

const LOCALES = { en, uk };

/** Ukrainian or else English, by an IETF tag or whatever comes in its place. */
export function languageOf(tag) {
  const language = String(tag ?? "").toLowerCase().split(/[-_]/)[0];
  return Object.keys(LOCALES).includes(language) ? language : "en";
}

export function wordsOf(language) {
  const { texts, plurals, direction } = LOCALES[language];
  const rules = new Intl.PluralRules(language);
  const numbers = new Intl.NumberFormat(language);

  const say = (name, values = {}) => {
    if (!(name in texts)) throw new Error(`no text: ${language}: ${name}`);
    return texts[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
  };
  const count = (name, number) => `${number < 0 ? MINUS : ""}${numbers.format(Math.abs(number))}\u00a0${plurals[name][rules.select(Math.abs(number))]}`;

  return {
    language,
    direction,
    say,
    has: (name) => name in texts,
    credits: (number) => count("credits", number),
    payments: (number) => count("payments", number),
    /** With its sign, as a change of the balance. */
    change: (number) => `${number < 0 ? MINUS : "+"}${numbers.format(Math.abs(number))}`,
    /** A number to be edited, with the language's own decimal sign. */
    plain: (amount) => new Intl.NumberFormat(language, { useGrouping: false }).format(Number(amount)),
    money: (amount, currency) => writeMoney(language, amount, currency),
    time: (iso) => writeTime(language, new Date(iso)),
  };
}

function writeMoney(language, amount, currency) {
  const digits = Number.isInteger(Number(amount)) ? 0 : 2;
  const form = { style: "currency", currency, minimumFractionDigits: digits, maximumFractionDigits: digits };
  try {
    return new Intl.NumberFormat(language, form).format(Number(amount));
  } catch {
    // Creators name currencies as they like; this one no browser knows.
    return `${amount}\u00a0${currency}`;
  }
}

/** The day only where it is not today's, the year only where it is not this one. */
function writeTime(language, time) {
  const now = new Date();
  const year = time.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
  const day = time.toDateString() === now.toDateString() ? {} : { day: "numeric", month: "short", ...year };
  return new Intl.DateTimeFormat(language, { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(time);
}
