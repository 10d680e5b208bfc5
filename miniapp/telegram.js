// What Telegram's script offers, behind one door: asked for its version first, as much of it fails silently or throws.

const SCRIPT_WAIT_MILLISECONDS = 8000;

/** Wait for Telegram's script; null where it does not come. *onLate* is called should it come after all. */
export function findTelegram(onLate) {
  const script = document.querySelector('script[src*="telegram-web-app.js"]');
  return new Promise((resolve) => {
    const settle = () => resolve(window.Telegram?.WebApp ?? null);
    const settleOrRepeat = () => (window.Telegram?.WebApp || !script ? settle() : repeat(script, settle));
    if (window.Telegram?.WebApp) return settle();
    // The page has loaded when its scripts have, or have failed: the one event that nobody can be too late for.
    if (document.readyState === "complete") settleOrRepeat();
    else window.addEventListener("load", settleOrRepeat, { once: true });
    script?.addEventListener("load", settle);
    setTimeout(() => {
      settle();
      script?.addEventListener("load", onLate);
    }, SCRIPT_WAIT_MILLISECONDS);
  });
}

/** Once more: what was lost may have been lost by a change of networks. */
function repeat(script, settle) {
  const another = document.createElement("script");
  another.src = script.src;
  another.addEventListener("load", settle);
  another.addEventListener("error", settle);
  document.head.append(another);
}

/** Wrap the script's object, or null: then nothing is there, and everything may still be called. */
export function wrap(webApp) {
  const isInside = webApp !== null && webApp.platform !== "unknown";
  const hasClient = isInside && hasListener();
  const can = (version) => hasClient && webApp.isVersionAtLeast(version);
  const user = webApp?.initDataUnsafe?.user;
  return {
    isLoaded: webApp !== null,
    isInside,
    hasMainButton: hasClient,
    hasBackButton: can("6.1"),
    initData: webApp?.initData ?? "",
    language: user?.language_code,
    startParam: webApp?.initDataUnsafe?.start_param,
    theme: () => (isInside ? webApp.themeParams : {}),
    scheme: () => (isInside ? webApp.colorScheme : systemScheme()),
    onTheme: (listener) => (isInside ? webApp.onEvent("themeChanged", listener) : onSystemScheme(listener)),
    begin: () => isInside && begin(webApp, can),
    send: (data) => webApp.sendData(data),
    close: () => webApp.close(),
    canClose: hasClient,
    openLink: (url) => (can("6.1") ? webApp.openLink(url) : window.open(url, "_blank", "noopener")),
    openChat: (url) => (can("6.1") ? webApp.openTelegramLink(url) : window.open(url, "_blank", "noopener")),
    feel: (kind) => can("6.1") && feel(webApp.HapticFeedback, kind),
    canAskToWrite: can("6.9") && !user?.allows_write_to_pm,
    askToWrite: () => new Promise((resolve) => webApp.requestWriteAccess(resolve)),
    ...buttons(webApp, hasClient, can),
  };
}

/** Somebody has to draw the native buttons and to open links; the script alone posts its wishes to nobody. */
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

function buttons(webApp, hasMainButton, can) {
  let pressMain = null;
  let pressBack = null;
  if (hasMainButton) webApp.MainButton.onClick(() => pressMain?.());
  if (can("6.1")) webApp.BackButton.onClick(() => pressBack?.());
  return {
    /** Show what the native button does now; null hides it. */
    setMainButton(action) {
      if (!hasMainButton) return;
      pressMain = action && !action.isBusy ? action.run : null;
      const { MainButton } = webApp;
      if (!action) return void MainButton.hide();
      MainButton.setParams({ text: action.text, is_visible: true, is_active: !action.isBusy });
      if (action.isBusy) MainButton.showProgress();
      else MainButton.hideProgress();
    },
    setBackButton(run) {
      pressBack = run;
      if (!can("6.1")) return;
      if (run) webApp.BackButton.show();
      else webApp.BackButton.hide();
    },
  };
}

const DARK_QUERY = "(prefers-color-scheme: dark)";

function systemScheme() {
  return window.matchMedia(DARK_QUERY).matches ? "dark" : "light";
}

function onSystemScheme(listener) {
  window.matchMedia(DARK_QUERY).addEventListener?.("change", listener);
}
