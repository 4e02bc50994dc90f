/** A job followed to its end: by its events, and when the line breaks by asking again. */
import { get, isAbort, post, ApiError } from "./api.js";
import { events } from "./events.js";

const PAUSE_MS = 1500;
const ENDED = new Set(["completed", "failed", "canceled"]);

export const hasEnded = (job) => ENDED.has(job.status);

/** The job at its end. *onChange* sees it at each change; `away: true` says that the service does not answer. */
export async function follow(id, { signal, onChange } = {}) {
  let last = "0";
  for (;;) {
    try {
      const job = await get(`/api/jobs/${encodeURIComponent(id)}`, signal);
      onChange?.(job);
      if (hasEnded(job)) return job;
      for await (const event of events(`/api/jobs/${encodeURIComponent(id)}/events`, { signal, headers: { "Last-Event-ID": last } })) {
        last = event.id || last;
        tell(job, event, onChange);
      }
    } catch (error) {
      if (isAbort(error) || error instanceof ApiError) throw error;
      onChange?.({ id, away: true });
      await pause(signal);
    }
  }
}

function tell(job, event, onChange) {
  const data = JSON.parse(event.data);
  if (event.event === "progress") Object.assign(job, { progress: data.progress ?? job.progress, metrics: { ...job.metrics, ...data } });
  if (event.event === "status") Object.assign(job, data);
  if (event.event === "progress" || event.event === "status") onChange?.(job);
}

export function pause(signal, milliseconds = PAUSE_MS) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("", "AbortError"));
    });
  });
}

export const cancel = (id) => post(`/api/jobs/${encodeURIComponent(id)}/cancel`);
