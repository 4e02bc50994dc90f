/** An answer piece by piece. A stream that ends without its end mark was broken, and is told as such. */
import { ApiError } from "../shared/api.js";
import { events } from "../shared/events.js";

/** The stream broke off after it had begun. */
export class BrokenOff extends Error {}

export async function* answerOf(body, signal) {
  for await (const { data } of events("/api/chat/stream", { method: "POST", json: body, signal })) {
    if (data === "[DONE]") return;
    const piece = JSON.parse(data);
    if (piece.error) throw new ApiError(0, { error: piece.error, request_id: piece.request_id });
    yield piece;
  }
  throw new BrokenOff();
}
