/** The console: who it is, the frame, and the page that the address names. */
import { ask, get } from "./shared/api.js";
import { put } from "./shared/dom.js";
import { markDocument, t } from "./shared/i18n.js";
import { notice, problem } from "./shared/parts.js";
import { end, isLoggedIn, isOpen, onEnd } from "./shared/session.js";
import { keep } from "./shared/storage.js";
import { drawFrame } from "./frame.js";
import { NAMES, NEED_LOGIN, open } from "./pages.js";
import { showLogin } from "./login.js";

const app = document.getElementById("app");
let leave = new AbortController();
let frame = null;

/** Name and parameters of the page in the address: `#/training/<id>?from=x`. */
function where() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(decodeURIComponent);
  return { name: NAMES.includes(name) ? name : "chat", rest, query: new URLSearchParams(query ?? "") };
}

async function show({ focus = true } = {}) {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const { name, rest, query } = where();
  const mustLogIn = !isLoggedIn() && (!isOpen() || NEED_LOGIN.has(name) || location.hash === "#/login");
  if (mustLogIn || location.hash === "#/login") return gate(name);
  frame ??= drawFrame(app, { redraw, logOut });
  frame.mark(name);
  document.title = `${t(`page.${name}`)} · Polymath`;
  const root = frame.fresh(name);
  try {
    const page = await open(name);
    if (signal.aborted) return;
    await page.show({ root, signal, rest, query });
  } catch (error) {
    if (signal.aborted) return;
    put(root, problem(error, () => show()));
  }
  if (focus && !signal.aborted && !root.contains(document.activeElement)) root.querySelector("h1")?.focus({ preventScroll: true });
}

function gate(name) {
  frame = null;
  document.title = `${t("login.title")} · Polymath`;
  showLogin(app, { redraw, onDone: async () => {
    await learnWho();
    const target = name === "chat" ? "#/chat" : `#/${name}`;
    if (location.hash === target) show();
    else location.hash = target;
  } });
}

/** Draw everything anew, as when the language was changed. */
function redraw() {
  frame = null;
  markDocument();
  show({ focus: false });
}

async function logOut() {
  leave.abort(); // What the page still asks for would come to a login that has ended, and be told as one that ended by itself.
  await ask("/api/v1/logout", { method: "POST" }).catch(() => {});
  end();
  redraw();
}

async function learnWho() {
  if (!isLoggedIn()) return;
  try {
    keep("me", await get("/api/auth/me"));
  } catch {
    // Without the name the pages still work; what ended the session is told by `onEnd`.
  }
}

onEnd(() => {
  notice(t("login.ended"), "bad");
  show();
});
addEventListener("hashchange", () => show());
// Another tab logged in or out.
addEventListener("storage", (event) => {
  if (event.key === "polymath.tokens" && (event.newValue === null) !== (event.oldValue === null)) redraw();
});
markDocument();
await learnWho();
show({ focus: false });
