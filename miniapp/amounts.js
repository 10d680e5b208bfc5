// Amounts are decimal strings; arithmetic uses whole cents.

const WRITTEN = /^(\d{1,9})(?:[.,](\d{1,2}))?$/;
const DEEP_LINK = /^(\d{1,9})(?:_(\d{1,2}))?(?:-([A-Za-z]{3,10}))?$/;

/** Cents of `10`, `7.50`, `7,5`, `1 000`; null if the text is no amount. */
export function centsOf(text) {
  const written = WRITTEN.exec(text.replace(/\s/g, ""));
  return written && Number(written[1]) * 100 + Number((written[2] ?? "").padEnd(2, "0"));
}

/** `7.5` for 750, as the API writes amounts. */
export function amountOf(cents) {
  return String(cents / 100);
}

/** Whole credits for the cents, rounded down as in the ledger; *rate* is a decimal string. */
export function creditsFor(cents, rate) {
  const [whole, fraction = ""] = rate.split(".");
  const product = cents * Number(whole + fraction);
  const divisor = 100 * 10 ** fraction.length;
  return (product - (product % divisor)) / divisor;
}

/** Read `10`, `7_50`, `10-EUR` of a deep link; null for anything else. */
export function readDeepLink(text) {
  const read = DEEP_LINK.exec(text ?? "");
  if (!read) return null;
  return { cents: centsOf(read[2] ? `${read[1]}.${read[2]}` : read[1]), currency: read[3]?.toUpperCase() ?? null };
}

/** The error name that the server would answer; null if the amount is valid. */
export function refusalOf(cents, offer) {
  if (cents === null) return "amount_unreadable";
  if (cents < centsOf(offer.amount_least)) return "amount_too_small";
  return cents > centsOf(offer.amount_most) ? "amount_too_large" : null;
}
