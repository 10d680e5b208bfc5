// Texts, numbers, money and times in the user's language.

/** Unlike a hyphen, this sign allows no line break. */
const MINUS = "\u2212";

/** "uk" for an IETF tag of Ukrainian, otherwise "en". */
export function languageOf(tag) {
  return /^uk(?![^-_])/i.test(tag ?? "") ? "uk" : "en";
}

/** Load the texts of a language, "en" or "uk". */
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
    /** Write a change of the balance with a plus or minus sign. */
    change: (number) => `${number < 0 ? MINUS : "+"}${write(Math.abs(number))}`,
    /** Write an amount for an input field: no grouping. */
    plain: (amount) => write(amount, { useGrouping: false }),
    money(amount, currency) {
      const digits = Number.isInteger(Number(amount)) ? 0 : 2;
      const form = { minimumFractionDigits: digits, maximumFractionDigits: digits };
      const full = { ...form, style: "currency", currency };
      try {
        // $5 in Ukrainian too, as on Buy Me a Coffee; a browser would write "5 USD".
        const [{ value: sign }] = new Intl.NumberFormat("en", full).formatToParts(0);
        return /^\W$/.test(sign) ? sign + write(amount, form) : write(amount, language === "uk" && currency === "UAH" ? { ...full, currencyDisplay: "narrowSymbol" } : full);
      } catch {
        // The browser knows no such currency.
        return `${amount}\u00a0${currency}`;
      }
    },
    /** Unless *isFull*, omit today's date or the current year. */
    time(iso, isFull) {
      const [time, now] = [new Date(iso), new Date()];
      const year = time.getFullYear() === now.getFullYear() && !isFull ? {} : { year: "numeric" };
      const day = time.toDateString() === now.toDateString() && !isFull ? {} : { day: "numeric", month: "short", ...year };
      return time.toLocaleString(language, { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    },
  };
}
