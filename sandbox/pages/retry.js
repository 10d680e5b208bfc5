// A part that did not come, since the network changed or the sandbox was restarted, would leave a dead page: load it again.

const PAUSE_MILLISECONDS = 700;

addEventListener("error", ({ target }) => target.tagName === "SCRIPT" && setTimeout(() => location.reload(), PAUSE_MILLISECONDS), true);
