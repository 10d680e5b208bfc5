// Speak the user's language: texts with values put in, numbers, money and times as the language writes them.

/** Not a hyphen, at which a line might break. */
const MINUS = "\u2212";

/** Ukrainian or else English, by an IETF tag or any other value. */
export function languageOf(tag) {
  return /^uk(?![^-_])/i.test(tag ?? "") ? "uk" : "en";
}

/** Load the words of a language, "en" or "uk". */
export async function wordsOf(language) {
  const { plurals, texts } = await import(`./locales/${language}.js`);
  const rules = new Intl.PluralRules(language);
  const write = (number, form) => new Intl.NumberFormat(language, form).format(number);
  const count = (name, number) => {
    const size = Math.abs(number);
    return `${number < 0 ? MINUS : ""}${write(size)}\u00a0${plurals[name][rules.select(size)]}`;
  };

  return {
    language,
    say(name, values = {}) {
      if (!(name in texts)) throw new Error(`no text: ${language}: ${name}`);
      return texts[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
    },
    has: (name) => name in texts,
    credits: (number) => count("credits", number),
    payments: (number) => count("payments", number),
    /** With its sign, as a change of the balance. */
    change: (number) => `${number < 0 ? MINUS : "+"}${write(Math.abs(number))}`,
    /** A number to be edited, with the language's own decimal sign. */
    plain: (amount) => write(amount, { useGrouping: false }),
    money(amount, currency) {
      const digits = Number.isInteger(Number(amount)) ? 0 : 2;
      try {
        return write(amount, { style: "currency", currency, minimumFractionDigits: digits, maximumFractionDigits: digits });
      } catch {
        // A currency that the browser does not know.
        return `${amount}\u00a0${currency}`;
      }
    },
    /** The day only where it is not today's, the year only where it is not this one. */
    time(iso) {
      const [time, now] = [new Date(iso), new Date()];
      const year = time.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
      const day = time.toDateString() === now.toDateString() ? {} : { day: "numeric", month: "short", ...year };
      return time.toLocaleString(language, { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    },
  };
}
