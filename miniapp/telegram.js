// Wraps Telegram's script. Checks the client's version first: newer calls fail silently or throw in older clients.

const SCRIPT_WAIT_MILLISECONDS = 8000;
const dark = window.matchMedia("(prefers-color-scheme: dark)");

/** Wait for Telegram's script. Return null if the script does not load in time. If it loads later, call *onLate*. */
export function findTelegram(onLate) {
  const script = document.querySelector('script[src*="telegram-web-app.js"]');
  return new Promise((resolve) => {
    const settle = () => resolve(window.Telegram?.WebApp ?? null);
    const settleOrRepeat = () => (window.Telegram?.WebApp ? settle() : repeat(script.src, settle));
    if (window.Telegram?.WebApp) return settle();
    // At "complete", "load" may have fired already, so do not wait for it.
    if (document.readyState === "complete") settleOrRepeat();
    else window.addEventListener("load", settleOrRepeat, { once: true });
    script.addEventListener("load", settle);
    setTimeout(() => {
      settle();
      script.addEventListener("load", onLate);
    }, SCRIPT_WAIT_MILLISECONDS);
  });
}

/** Load the script again: a network change may have interrupted it. */
function repeat(src, settle) {
  const script = Object.assign(document.createElement("script"), { src, onload: settle, onerror: settle });
  document.head.append(script);
}

/** Wrap Telegram's object. If *webApp* is null, all flags are false. */
export function wrap(webApp) {
  const isInside = webApp !== null && webApp.platform !== "unknown";
  const hasClient = isInside && hasListener();
  const can = (version) => hasClient && webApp.isVersionAtLeast(version);
  const { user, start_param: startParam } = webApp?.initDataUnsafe ?? {};
  return {
    isLoaded: webApp !== null,
    isInside,
    canClose: hasClient,
    hasMainButton: hasClient,
    hasBackButton: can("6.1"),
    canAskToWrite: can("6.9") && !user?.allows_write_to_pm,
    initData: webApp?.initData ?? "",
    startParam,
    theme: () => (isInside ? webApp.themeParams : {}),
    scheme: () => (isInside ? webApp.colorScheme : dark.matches ? "dark" : "light"),
    onTheme: (listener) => (isInside ? webApp.onEvent("themeChanged", listener) : dark.addEventListener?.("change", listener)),
    begin: () => isInside && begin(webApp, can),
    send: (data) => webApp.sendData(data),
    close: () => webApp.close(),
    openLink: (url) => (can("6.1") ? webApp.openLink(url) : window.open(url, "_blank", "noopener")),
    openTelegramLink: (url) => webApp.openTelegramLink(url),
    feel: (kind) => can("6.1") && feel(webApp.HapticFeedback, kind),
    askToWrite: () => new Promise((resolve) => webApp.requestWriteAccess(resolve)),
    onMainButton: (run) => hasClient && webApp.MainButton.onClick(run),
    /** Update the native button. If *text* is empty, hide the button. */
    showMainButton(text, isBusy) {
      if (!hasClient) return;
      const { MainButton } = webApp;
      if (!text) return MainButton.hide();
      MainButton.setParams({ text, is_visible: true, is_active: !isBusy });
      if (isBusy) MainButton.showProgress();
      else MainButton.hideProgress();
    },
    onBackButton: (run) => can("6.1") && webApp.BackButton.onClick(run),
    showBackButton: (isShown) => can("6.1") && (isShown ? webApp.BackButton.show() : webApp.BackButton.hide()),
  };
}

/** Whether a Telegram client is there to draw native buttons and open links. */
function hasListener() {
  return window.TelegramWebviewProxy !== undefined || "notify" in (window.external ?? {}) || window.parent !== window;
}

function begin(webApp, can) {
  webApp.ready();
  webApp.expand();
  if (can("6.1")) {
    webApp.setHeaderColor("secondary_bg_color");
    webApp.setBackgroundColor("secondary_bg_color");
  }
  if (can("7.10")) webApp.setBottomBarColor("secondary_bg_color");
}

function feel(haptics, kind) {
  if (kind === "choice") haptics.selectionChanged();
  else if (kind === "touch") haptics.impactOccurred("light");
  else haptics.notificationOccurred(kind);
}
