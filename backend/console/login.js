/** Logging in. */
import { post } from "./shared/api.js";
import { h, put } from "./shared/dom.js";
import { t } from "./shared/i18n.js";
import { field, problem } from "./shared/parts.js";
import { begin, isOpen } from "./shared/session.js";
import { brand, choices } from "./frame.js";

export function showLogin(app, { onDone, redraw }) {
  const name = h("input", { name: "username", autocomplete: "username", required: true, autocapitalize: "none", spellcheck: "false" });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const told = h("div", {});
  const enter = h("button", { class: "primary", type: "submit" }, t("login.do"));

  async function submit(event) {
    event.preventDefault();
    enter.disabled = true;
    put(told);
    try {
      begin(await post("/api/v1/login", { username: name.value, password: password.value }));
      await onDone();
    } catch (error) {
      put(told, problem(error));
      enter.disabled = false;
      password.select();
    }
  }

  const form = h("form", { class: "card stack", onsubmit: submit }, field(t("login.name"), name), field(t("login.password"), password), told, enter);
  const without = isOpen() ? h("a", { href: "#/chat" }, t("login.without")) : h("p", { class: "small muted" }, t("login.first"));
  put(app, h("main", { class: "gate" }, h("div", { class: "gate-box" }, brand(), h("div", { class: "stack tight" }, h("h1", { tabindex: "-1" }, t("login.title")), h("p", { class: "muted" }, t("login.about"))), form, without, h("div", { class: "gate-foot" }, choices(redraw)))));
  name.focus();
}
