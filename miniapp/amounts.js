// Amounts are decimal strings; arithmetic uses whole cents.

// The bot reads amounts in the chat by the same rules: coffee_ledger/telegram/amounts.py. tests/data/amounts.json has examples for both.
const CURRENCIES = {
  USD: /^(US\$|\$|USD|DOLLARS?|BUCKS?|ДОЛ|ДОЛАРИ?|ДОЛАРА|ДОЛАРІВ)$/,
  EUR: /^(€|EUR|EUROS?|ЄВРО)$/,
  GBP: /^(£|GBP|POUNDS?|ФУНТИ?|ФУНТА|ФУНТІВ)$/,
  UAH: /^(₴|UAH|ГРН|ГРИВНЯ|ГРИВНІ|ГРИВНЮ|ГРИВЕНЬ)$/,
  PLN: /^(ZŁ|PLN|ZŁOTYCH|ZŁOTE|ZŁOTY|ZLOTYS?)$/,
};
const WRITTEN = /^([^\d\s.,'+-]*) ?([\d.,' ]*\d)(?: ?([^\d\s.,'+-]+)\.?)?$/;
const SIMPLE = /^(\d{1,9})?(?:[.,](\d{1,2}))?$/;
// Refuse a leading 0: "0,500" means 0.5, not 500.
const GROUPED = /^([1-9]\d{0,2}(?:([ ',.])\d{3})(?:\2\d{3})*)(?:(?!\2)[.,](\d{1,2}))?$/;
const DEEP_LINK = /^(\d{1,9})(?:_(\d{1,2}))?(?:-([A-Za-z]{3,10}))?$/;

/** Read `10`, `1 000`, `$5`, `5 євро` as `{cents, currency}`; null if *text* is unclear. *currency* is null if missing. */
export function readAmount(text) {
  const written = WRITTEN.exec(normal(text));
  const number = written?.[2] ?? "";
  // Refuse "1.500": it may be 1500 or 1.5.
  const read = SIMPLE.exec(number) ?? (!/^\d+\.\d+$/.test(number) && GROUPED.exec(number));
  if (!written || !read) return null;
  const named = [...new Set([written[1], written[3]].filter(Boolean).map(currencyOf))];
  if (named.length > 1 || named.includes(undefined)) return null;
  const [whole = "", cents = ""] = [read[1], read.at(-1)];
  return { cents: Number(whole.replace(/\D/g, "")) * 100 + Number(cents.padEnd(2, "0")), currency: named[0] ?? null };
}

/** Read `7.5` as 750 cents; null if unclear or with a currency. */
export function centsOf(text) {
  const read = readAmount(text);
  return read?.currency === null ? read.cents : null;
}

function currencyOf(name) {
  const known = Object.keys(CURRENCIES).find((currency) => CURRENCIES[currency].test(name));
  return known ?? /^[A-Z]{3,10}$/.exec(name)?.[0];
}

/** Normalise digits, spaces, separators, case; drop invisible characters. */
function normal(text) {
  return text
    .replace(/[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "")
    .toUpperCase()
    .replace(/\p{Nd}/gu, digitOf)
    .replace(/\s+/g, " ").trim()
    .replace(/٫/g, ".").replace(/[٬’]/g, "'");
}

/** Count the digits before *char* in Unicode's run of 0 to 9. */
function digitOf(char) {
  let before = 0;
  while (/\p{Nd}/u.test(String.fromCodePoint(char.codePointAt(0) - before - 1))) before += 1;
  return before % 10;
}

/** Write 750 cents as `7.5`, the API's form. */
export function amountOf(cents) {
  return String(cents / 100);
}

/** Whole credits for the cents, rounded down as in the ledger; *rate* is per unit, a decimal string. */
export function creditsFor(cents, rate) {
  const [whole, fraction = ""] = rate.split(".");
  const product = cents * Number(whole + fraction);
  const divisor = 100 * 10 ** fraction.length;
  return (product - (product % divisor)) / divisor;
}

/** Read a deep link's `7_50-EUR` as `{cents: 750, currency: "EUR"}`; null if malformed. */
export function readDeepLink(text) {
  const read = DEEP_LINK.exec(text ?? "");
  if (!read) return null;
  return { cents: centsOf(read[2] ? `${read[1]}.${read[2]}` : read[1]), currency: read[3]?.toUpperCase() ?? null };
}

/** Return an error name if *offer* does not allow *cents*, else null. */
export function refusalOf(cents, offer) {
  if (cents === null) return "amount_unreadable";
  if (cents < centsOf(offer.amount_least)) return "amount_too_small";
  return cents > centsOf(offer.amount_most) ? "amount_too_large" : null;
}
