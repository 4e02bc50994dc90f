"use strict";
// Before the first paint, so that a dark screen does not flash white.
(() => {
  let chosen = "system";
  try {
    chosen = localStorage.getItem("polymath.theme") || "system";
  } catch {
    // Storage may be forbidden; the system's choice holds then.
  }
  if (chosen !== "system") document.documentElement.dataset.theme = chosen;
})();
