// Makes Telegram's theme legible. Users make themes; colours may be missing or illegible.

const LIGHT = {
  page: "#f7f1ea", card: "#ffffff", text: "#2c1f17", hint: "#74604f", fill: "#84552a", onFill: "#ffffff", danger: "#b3261e",
};
const DARK = {
  page: "#1c1613", card: "#2a211c", text: "#f5ece4", hint: "#b5a192", fill: "#e0ab72", onFill: "#2c1f17", danger: "#ff8a80",
};
const ENDS = ["#000000", "#ffffff"];
const READABLE = 4.5;
const VISIBLE = 3;

/** Follow *telegram*'s theme while the page is open. */
export function followTheme(telegram) {
  const { style } = document.documentElement;
  const apply = () => {
    const scheme = telegram.scheme();
    for (const [name, colour] of Object.entries(paletteFrom(telegram.theme(), scheme))) style.setProperty(`--${name}`, colour);
    style.colorScheme = scheme;
  };
  apply();
  telegram.onTheme(apply);
}

/** The page's colours for a theme; every text reaches AA contrast. */
export function paletteFrom(theme, scheme) {
  const own = scheme === "dark" ? DARK : LIGHT;
  const pick = (fallback, ...names) => names.map((name) => theme[name]).find(rgbOf) ?? fallback;
  const page = pick(own.page, "secondary_bg_color", "bg_color");
  // Use *wished* if black or white is legible on all colours, else the last of *others*.
  const ground = (wished, ...others) => (ENDS.some((end) => contrastOn([wished, ...others], end) >= READABLE) ? wished : others.pop());
  const card = ground(pick(own.card, "section_bg_color", "bg_color"), page);
  const onFill = pick(own.onFill, "button_text_color");
  const fill = legible(pick(own.fill, "button_color"), [onFill], READABLE);
  const soft = ground(mix(fill, card, 0.12), page, card);
  const readable = (...wished) => legible(pick(...wished), [page, card, soft], READABLE);
  const text = readable(own.text, "text_color");
  return {
    page,
    card,
    soft,
    fill,
    "on-fill": onFill,
    text,
    hint: readable(own.hint, "subtitle_text_color", "hint_color"),
    link: readable(own.fill, "link_color", "accent_text_color"),
    danger: readable(own.danger, "destructive_text_color"),
    edge: legible(mix(text, card, 0.4), [page, card], VISIBLE),
    line: mix(text, card, 0.14),
  };
}

/** Give *colour* a contrast of *least* or more on all backgrounds, if possible. */
function legible(colour, grounds, least) {
  for (let step = 0; step <= 20; step += 1) {
    const found = ENDS.map((end) => mix(end, colour, step / 20)).find((one) => contrastOn(grounds, one) >= least);
    if (found) return found;
  }
  return contrastOn(grounds, ENDS[0]) > contrastOn(grounds, ENDS[1]) ? ENDS[0] : ENDS[1];
}

/** The lowest contrast of *colour* to *grounds*. Source: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio */
function contrastOn(grounds, colour) {
  const ratios = grounds.map((ground) => {
    const [dark, light] = [luminance(ground), luminance(colour)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  });
  return Math.min(...ratios);
}

function luminance(colour) {
  const [red, green, blue] = rgbOf(colour).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function mix(colour, into, share) {
  const ground = rgbOf(into);
  const parts = rgbOf(colour).map((value, index) => Math.round(value * share + ground[index] * (1 - share)));
  return `#${parts.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

function rgbOf(colour) {
  const written = /^#([0-9a-f]{6}|[0-9a-f]{3})$/i.exec(colour ?? "")?.[1];
  const pairs = written?.length === 3 ? written.replace(/./g, "$&$&") : written;
  return pairs?.match(/../g).map((pair) => parseInt(pair, 16));
}
