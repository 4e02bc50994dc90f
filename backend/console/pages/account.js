/** One's own password, and for administrators the users. */
import { ask, get, post } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { t, time } from "../shared/i18n.js";
import { mayManage } from "../shared/models.js";
import { busy, button, card, dialog, facts, field, load, notice, options, pageHead, problem, statusTag, table } from "../shared/parts.js";
import { recall } from "../shared/storage.js";

export async function show({ root, signal }) {
  const me = recall("me") ?? {};
  const users = h("div", {});
  const refresh = () => load(users, () => drawUsers(signal, refresh), { signal });
  put(root, pageHead(t("page.account"), t("account.about")), h("div", { class: "halves" }, card(t("account.me"), null, facts([[t("login.name"), me.username], [t("account.role"), me.role ? t(`role.${me.role}`) : ""], [t("field.when"), me.created_at ? time(me.created_at) : ""]])), passwordForm()), mayManage() ? card(t("account.users"), button(t("account.add"), { name: "plus", kind: "small", onclick: () => addUser(refresh) }), users) : null);
  if (mayManage()) await refresh();
}

function passwordForm() {
  const old = h("input", { type: "password", autocomplete: "current-password", required: true });
  const fresh = h("input", { type: "password", autocomplete: "new-password", required: true, minlength: 8 });
  const told = h("div", {});
  const go = h("button", { type: "submit" }, t("do.save"));
  const submit = async (event) => {
    event.preventDefault();
    await busy(go, async () => {
      try {
        await ask("/api/auth/password", { method: "PUT", json: { old_password: old.value, new_password: fresh.value } });
        put(told);
        event.target.reset();
        notice(t("account.changed"));
      } catch (error) {
        put(told, problem(error));
      }
    });
  };
  return h("form", { class: "card stack", onsubmit: submit }, h("h2", {}, t("account.password")), field(t("account.old"), old), field(t("account.new"), fresh, t("account.new_hint")), told, h("div", { class: "row end" }, go));
}

async function drawUsers(signal, refresh) {
  const { users } = await get("/api/auth/users?limit=100", signal);
  const toggle = (user) => button(t(user.disabled ? "account.enable" : "account.disable"), { kind: `small ${user.disabled ? "" : "danger"}`, disabled: user.id === recall("me")?.id, onclick: (event) => busy(event.currentTarget, async () => { await ask(`/api/auth/users/${user.id}`, { method: "PATCH", json: { disabled: !user.disabled } }); refresh(); }) });
  return table(t("account.users"), [[t("login.name"), "lead"], [t("account.role"), ""], [t("models.state"), ""], [t("field.when"), ""], ["", "actions"]], users.map((user) => [user.username, t(`role.${user.role}`), user.disabled ? statusTag("disabled") : statusTag("enabled"), time(user.created_at), toggle(user)]));
}

function addUser(refresh) {
  dialog(t("account.add"), (close) => {
    const name = h("input", { required: true, maxlength: 64, autocomplete: "off" });
    const password = h("input", { type: "password", required: true, minlength: 8, autocomplete: "new-password" });
    const role = h("select", {}, options([["user", t("role.user")], ["admin", t("role.admin")]], "user"));
    const told = h("div", {});
    const go = h("button", { type: "submit", class: "primary" }, icon("plus"), t("account.add"));
    const submit = async (event) => {
      event.preventDefault();
      await busy(go, async () => {
        try {
          await post("/api/auth/users", { username: name.value.trim(), password: password.value, role: role.value });
          close(true);
          refresh();
        } catch (error) {
          put(told, problem(error));
        }
      });
    };
    return h("form", { class: "stack", onsubmit: submit }, field(t("login.name"), name), field(t("login.password"), password, t("account.new_hint")), field(t("account.role"), role), told, h("div", { class: "row end" }, button(t("do.cancel"), { onclick: () => close(null) }), go));
  });
}
