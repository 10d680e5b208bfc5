// Runs first: paints the page in Telegram's colours, loads the language, and tells the user if a part of the page does not load.

{
  const LOADS_MAX = 3;
  let isLost = false;

  // The bot's buttons add `lang=uk` to the address, Telegram a percent-encoded "language_code":"uk".
  const named = /lang(?:=|uage_code[^a-z]+)([a-z]+)/.exec(location.search + location.hash)?.[1] ?? navigator.language;
  const language = /^uk\b/i.test(named) ? "uk" : "en";
  document.documentElement.lang = language;

  // Telegram puts its colours into the address. Use them at once, or a dark Telegram on a light phone shows a light page first.
  try {
    const theme = JSON.parse(new URLSearchParams(location.hash.slice(1)).get("tgWebAppThemeParams"));
    const { style } = document.documentElement;
    const paint = (name, colour) => /^#[0-9a-f]{6}$/i.test(colour) && style.setProperty(`--${name}`, colour);
    paint("page", theme.secondary_bg_color ?? theme.bg_color);
    paint("card", theme.section_bg_color ?? theme.bg_color);
    paint("text", theme.text_color);
  } catch {
    // theme.js sets colours if the address has none.
  }

  // Load only one language, in parallel with the other scripts.
  const locale = document.createElement("script");
  locale.type = "module";
  locale.src = `locales/${language}.js`;
  document.head.append(locale);

  const find = (id) => document.getElementById(id);
  const again = () => location.reload();
  // Count failed loads in the history state, which survives a reload, even in a frame without storage.
  const keep = (loads) => history.replaceState({ loads }, "");

  // Load errors do not bubble, so listen in the capture phase.
  addEventListener("error", ({ target }) => {
    if (isLost || !(target instanceof Element && target.matches("[type=module], [rel=stylesheet]"))) return;
    isLost = true;
    const loads = (history.state?.loads ?? 0) + 1;
    keep(loads % LOADS_MAX);
    if (loads < LOADS_MAX) return void setTimeout(again, loads * 700);
    find("skeleton").hidden = true;
    find("broken").hidden = false;
    find("broken-retry").addEventListener("click", again);
    addEventListener("online", again);
  }, true);
  addEventListener("load", () => isLost || keep(0));
}
