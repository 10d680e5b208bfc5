// Reload the page if a script fails to load, for example because the sandbox restarts: without it the page would not work.

const PAUSE_MILLISECONDS = 700;

addEventListener("error", ({ target }) => target.tagName === "SCRIPT" && setTimeout(() => location.reload(), PAUSE_MILLISECONDS), true);
