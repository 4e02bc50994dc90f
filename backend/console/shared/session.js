/** Who is logged in: the pair of tokens, shared by all tabs, and its renewal, which only one tab may do at once. */
import { keep, recall } from "./storage.js";

const EARLY_MS = 60_000;
const listeners = new Set();
let renewing = null;

export const isOpen = () => document.documentElement.dataset.auth === "open";
export const tokens = () => recall("tokens");
export const isLoggedIn = () => tokens() !== null;

/** Hear of a session that ended by itself. */
export function onEnd(listener) {
  listeners.add(listener);
}

export function begin(pair) {
  keep("tokens", { token: pair.token, refresh: pair.refresh_token, until: Date.now() + pair.expires_in * 1000 });
}

export function end() {
  keep("tokens", null);
  keep("me", null);
}

/** The token to send, renewed where it is about to end; null without a login. */
export async function token() {
  const pair = tokens();
  if (pair && pair.until - Date.now() < EARLY_MS) await renew(pair.token);
  return tokens()?.token ?? null;
}

/** Get the next pair for *spent*; false when the login is over. A refresh token is good for one use alone. */
export function renew(spent) {
  renewing ??= alone(() => renewOnce(spent)).finally(() => { renewing = null; });
  return renewing;
}

function alone(work) {
  // Without a secure address there are no locks; then two tabs may meet, and one of them logs in anew.
  return navigator.locks ? navigator.locks.request("polymath.renew", work) : work();
}

async function renewOnce(spent) {
  const pair = tokens();
  if (!pair) return false;
  if (pair.token !== spent) return true; // Another tab was faster.
  const answer = await fetch("/api/v1/refresh", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ refresh_token: pair.refresh }),
  });
  if (answer.ok) {
    begin(await answer.json());
    return true;
  }
  if (answer.status === 401 || answer.status === 400) {
    end();
    for (const listener of listeners) listener();
  }
  return false;
}
