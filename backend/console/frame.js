/** The frame around every page: the list of pages, who is here, language and theme. */
import { h, put } from "./shared/dom.js";
import { icon } from "./shared/icons.js";
import { chooseLanguage, language, t } from "./shared/i18n.js";
import { busy, iconButton } from "./shared/parts.js";
import { isLoggedIn } from "./shared/session.js";
import { keep, recall } from "./shared/storage.js";
import { GROUPS, OF_ACCOUNTS } from "./pages.js";

// As style/frame.css has it: from here on the list of pages stands beside its page and nothing covers that.
const WIDE = matchMedia("(min-width: 861px)");

const mark = () => h("img", { src: new URL("icon.svg", import.meta.url).href, alt: "", width: 28, height: 28 });
export const brand = () => h("a", { class: "brand", href: "#/chat" }, mark(), "Polymath");

/** Draw the frame into *app*; `fresh()` gives the place for a page, `mark(name)` shows where one is. */
export function drawFrame(app, { redraw, logOut }) {
  const main = h("main", { id: "main", tabindex: "-1" });
  const side = h("aside", { class: "side", id: "side" }, brand(), navigation(), h("div", { class: "stack tight" }, who(logOut), choices(redraw)));
  const toggle = iconButton("menu", t("nav.open"), { "aria-expanded": "false", "aria-controls": "side", onclick: () => drawer(true), kind: "quiet square" });
  const veil = h("div", { class: "veil", hidden: true, onclick: () => drawer(false) });

  function drawer(isOpen) {
    side.classList.toggle("open", isOpen);
    veil.hidden = !isOpen;
    toggle.setAttribute("aria-expanded", String(isOpen));
    main.inert = isOpen; // A page that is still being drawn focuses its own field, which is not to be had under the veil.
    if (!isOpen) return;
    side.querySelector("[aria-current]")?.focus();
    WIDE.addEventListener("change", () => drawer(false), { once: true });
  }
  side.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !side.classList.contains("open")) return;
    drawer(false);
    toggle.focus();
  });

  const skip = h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, t("nav.skip"));
  put(app, skip, h("header", { class: "top" }, toggle, brand()), veil, h("div", { class: "frame" }, side, main));
  return {
    fresh(name) {
      drawer(false);
      const root = h("div", { class: `page ${name}` });
      put(main, root);
      scrollTo(0, 0);
      return root;
    },
    mark(name) {
      for (const link of side.querySelectorAll("a.place")) {
        if (link.dataset.name === name) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
    },
  };
}

function navigation() {
  const link = ([name, drawing]) => h("li", {}, h("a", { class: "place", href: `#/${name}`, data: { name } }, icon(drawing), t(`page.${name}`)));
  const groups = GROUPS.map(([group, pages]) => {
    const shown = pages.filter(([name]) => isLoggedIn() || !OF_ACCOUNTS.has(name));
    return h("div", {}, h("h2", {}, t(`group.${group}`)), h("ul", {}, shown.map(link)));
  });
  return h("nav", { "aria-label": t("nav.label") }, groups);
}

function who(logOut) {
  if (!isLoggedIn()) return h("div", { class: "who" }, h("span", { class: "name muted" }, t("login.anonymous")), h("a", { class: "button small", href: "#/login" }, t("login.do")));
  return h("div", { class: "who" }, icon("account"), h("span", { class: "name" }, recall("me")?.username ?? ""), iconButton("out", t("login.leave"), { onclick: (event) => busy(event.currentTarget, logOut) }));
}

/** The buttons for language and theme. */
export function choices(redraw) {
  const other = language() === "zh" ? "en" : "zh";
  const isDark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const words = other === "zh" ? "中文" : "English";
  const turn = () => {
    document.documentElement.dataset.theme = isDark ? "light" : "dark";
    keepTheme(isDark ? "light" : "dark");
    redraw();
  };
  return h("div", { class: "choices" },
    h("button", { type: "button", class: "quiet", lang: other === "zh" ? "zh-CN" : "en", onclick: () => { chooseLanguage(other); redraw(); } }, words),
    h("button", { type: "button", class: "quiet", onclick: turn }, icon(isDark ? "sun" : "moon"), t(isDark ? "theme.light" : "theme.dark")));
}

function keepTheme(name) {
  keep("theme", null);
  try {
    localStorage.setItem("polymath.theme", name); // Bare, since theme.js reads it before any module.
  } catch {
    keep("theme", name);
  }
}
