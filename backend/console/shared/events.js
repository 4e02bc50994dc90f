/** Server-sent events over fetch, which can send a token and a body. */
import { asError, send } from "./api.js";

/** Each event `{id, event, data}` of the answer to a request. Raises ApiError; a broken line ends with `TypeError`. */
export async function* events(path, options = {}) {
  const answer = await send(path, { ...options, headers: { Accept: "text/event-stream", ...options.headers } });
  if (!answer.ok) throw await asError(answer);
  if (answer.status === 204) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
      const frames = (rest + value).split(/\r?\n\r?\n/);
      rest = frames.pop();
      for (const frame of frames) {
        const event = read(frame);
        if (event) yield event;
      }
    }
  } finally {
    // Who stops listening ends the work, too.
    reader.cancel().catch(() => {});
  }
}

function read(frame) {
  const event = { id: "", event: "message", data: [] };
  for (const line of frame.split(/\r?\n/)) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (name === "data") event.data.push(value);
    else if (name === "id" || name === "event") event[name] = value;
  }
  return event.data.length ? { ...event, data: event.data.join("\n") } : null;
}
