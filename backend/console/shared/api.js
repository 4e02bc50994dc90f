/** Requests: with the token and the reader's language, renewed once where the token has ended, errors as `ApiError`. */
import { language, t } from "./i18n.js";
import { renew, token } from "./session.js";

/** What the server refused, in its own sentence; `code`, `details` and the request's id are for those who ask. */
export class ApiError extends Error {
  constructor(status, body) {
    const error = body?.error ?? {};
    super(error.message ?? body?.detail ?? t("error.status", { status }));
    this.status = status;
    this.code = error.code ?? "";
    this.details = error.details ?? {};
    this.requestId = body?.request_id ?? "";
  }
}

/** The service could not be reached. */
export class Unreachable extends Error {
  constructor() {
    super(t("error.unreachable"));
  }
}

export const isAbort = (error) => error?.name === "AbortError";

/** Send a request and give its answer, whatever its status but 401. Raises Unreachable. */
export async function send(path, options = {}) {
  const first = await token();
  const answer = await attempt(path, options, first);
  if (answer.status !== 401 || !first || !(await renew(first))) return answer;
  return attempt(path, options, await token());
}

async function attempt(path, { method = "GET", json, form, headers = {}, signal }, bearer) {
  const sent = { "Accept-Language": language(), ...headers };
  if (bearer) sent.Authorization = `Bearer ${bearer}`;
  if (json !== undefined) sent["Content-Type"] = "application/json";
  try {
    return await fetch(path, { method, signal, headers: sent, body: json !== undefined ? JSON.stringify(json) : form });
  } catch (error) {
    throw isAbort(error) ? error : new Unreachable();
  }
}

/** The JSON of an answer. Raises ApiError, Unreachable. */
export async function ask(path, options = {}) {
  const answer = await send(path, options);
  if (!answer.ok) throw await asError(answer);
  return answer.status === 204 ? null : answer.json();
}

export const get = (path, signal) => ask(path, { signal });
export const post = (path, json = {}, options = {}) => ask(path, { method: "POST", json, ...options });
export const postForm = (path, form, options = {}) => ask(path, { method: "POST", form, ...options });
export const remove = (path) => ask(path, { method: "DELETE" });

export async function asError(answer) {
  return new ApiError(answer.status, await answer.json().catch(() => null));
}

/** A file behind a token, as an address for `<img>`; give it back by `URL.revokeObjectURL`. */
export async function objectUrl(path, signal) {
  const answer = await send(path, { signal });
  if (!answer.ok) throw await asError(answer);
  return URL.createObjectURL(await answer.blob());
}

/** Save a file behind a token under *name*. */
export async function download(path, name) {
  const url = await objectUrl(path);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Send a form and tell how much of it has gone, which fetch cannot. Raises ApiError, Unreachable. */
export async function upload(path, form, { onProgress, signal, headers = {} } = {}) {
  const bearer = await token();
  const { status, text } = await new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Accept-Language", language());
    if (bearer) request.setRequestHeader("Authorization", `Bearer ${bearer}`);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress?.(event.loaded / event.total);
    request.onload = () => resolve({ status: request.status, text: request.responseText });
    request.onerror = () => reject(new Unreachable());
    request.onabort = () => reject(new DOMException("", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
  const body = parse(text);
  if (status === 401 && bearer && (await renew(bearer))) return upload(path, form, { onProgress, signal, headers });
  if (status >= 400) throw new ApiError(status, body);
  return body;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
