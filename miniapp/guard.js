// Runs first: loads the language, and tells the user if a part of the page does not load.

{
  const LOADS_MAX = 3;
  let isLost = false;

  // The bot names it in its buttons' addresses, Telegram in the user's data: "language_code":"uk", encoded.
  const named = /lang(?:=|uage_code[^a-z]+)([a-z]+)/.exec(location.search + location.hash)?.[1] ?? navigator.language;
  const language = /^uk\b/i.test(named) ? "uk" : "en";
  document.documentElement.lang = language;
  // One language is all that a visit loads: beside the other scripts, not after them.
  const locale = document.createElement("script");
  locale.type = "module";
  locale.src = `locales/${language}.js`;
  document.head.append(locale);

  const find = (id) => document.getElementById(id);
  const again = () => location.reload();
  // The history remembers across a reload, even where a frame may store nothing.
  const keep = (loads) => history.replaceState({ loads }, "");

  // Errors of loading do not bubble, but they can be caught on their way down.
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
