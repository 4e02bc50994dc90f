/** A WebSocket that logs in by its first frame and comes back by itself when the service was away. */
import { renew, token, tokens } from "./session.js";

const PAUSES_MS = [500, 1000, 2000, 4000, 8000];
const NOT_LOGGED_IN = 4401;

/** Talk to *path* until *signal* ends it. `onState` hears `open` and `away`, `onOpen` gets the means to send. */
export function connect(path, { signal, onOpen, onMessage, onState }) {
  let socket = null;
  let tries = 0;
  let waiting = null;

  async function open() {
    const bearer = await token().catch(() => tokens()?.token ?? null);
    if (signal.aborted) return;
    socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}${path}`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      tries = 0;
      if (bearer) socket.send(JSON.stringify({ type: "auth", token: bearer }));
      onState?.("open");
      onOpen?.(send);
    };
    socket.onmessage = (event) => onMessage?.(JSON.parse(event.data), send);
    socket.onclose = (event) => left(event, bearer);
  }

  function send(message) {
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(message instanceof Blob || message instanceof ArrayBuffer ? message : JSON.stringify(message));
    return true;
  }

  async function left(event, bearer) {
    if (signal.aborted) return;
    onState?.("away");
    if (event.code === NOT_LOGGED_IN && bearer && !(await renew(bearer))) return;
    const pause = PAUSES_MS[Math.min(tries, PAUSES_MS.length - 1)];
    tries += 1;
    waiting = setTimeout(open, pause * (0.75 + Math.random() / 2));
  }

  signal.addEventListener("abort", () => {
    clearTimeout(waiting);
    socket?.close();
  });
  open();
  return send;
}
