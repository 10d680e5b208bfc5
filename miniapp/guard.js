// Alone and first: where another part of the page is lost on its way (a phone changes its network), nothing else could say so.

(function () {
  var KEY = "coffee-ledger-loads";
  var LOADS_MAX = 3;
  var isTold = false;

  function loads() {
    try {
      return Number(sessionStorage.getItem(KEY));
    } catch (error) {
      return LOADS_MAX;
    }
  }

  function keep(count) {
    try {
      sessionStorage.setItem(KEY, String(count));
    } catch (error) {
      // No memory, no second load by itself: the button is there.
    }
  }

  function again() {
    location.reload();
  }

  function tell() {
    document.getElementById("broken").hidden = false;
    document.getElementById("skeleton").hidden = true;
    document.getElementById("broken-retry").addEventListener("click", again);
    window.addEventListener("online", again);
    keep(0);
  }

  function isOurs(element) {
    return element instanceof Element && (element.getAttribute("type") === "module" || element.getAttribute("rel") === "stylesheet");
  }

  // Errors of loading do not bubble, but they can be caught on their way down.
  window.addEventListener(
    "error",
    function (event) {
      if (isTold || !isOurs(event.target)) return;
      isTold = true;
      var count = loads() + 1;
      if (count >= LOADS_MAX) return tell();
      keep(count);
      setTimeout(again, count * 700);
    },
    true
  );
  window.addEventListener("load", function () {
    if (!isTold) keep(0);
  });
})();
