// Reload the page if one of its scripts fails to load, for example because the sandbox restarts. The page needs all scripts.

const PAUSE_MILLISECONDS = 700;

addEventListener("error", ({ target }) => target.tagName === "SCRIPT" && setTimeout(() => location.reload(), PAUSE_MILLISECONDS), true);
