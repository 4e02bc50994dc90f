/** Work that takes long: what waits, runs and has ended, with its log, cancelling and trying again. */
import { get, post } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { percent, t, tOr, time, duration } from "../shared/i18n.js";
import { hasEnded, pause } from "../shared/jobs.js";
import { busy, button, card, dialog, empty, facts, load, options, pageHead, problem, skeletons, statusTag, table } from "../shared/parts.js";

const LOOK_MS = 2500;

export async function show({ root, signal }) {
  const place = h("div", {});
  const status = h("select", { "aria-label": t("jobs.filter") }, options([["", t("jobs.all")], ...["running", "queued", "completed", "failed", "canceled"].map((one) => [one, t(`status.${one}`)])], ""));
  const state = { pages: 1 };
  const draw = async () => drawJobs(place, await read(status.value, state.pages, signal), draw, state);
  status.addEventListener("change", () => { state.pages = 1; load(place, () => drawn(), { signal }); });
  const drawn = async () => { await draw(); return [...place.childNodes]; };
  put(root, pageHead(t("page.jobs"), t("jobs.about"), status), place);
  put(place, skeletons(5));
  try {
    await draw();
  } catch (error) {
    return put(place, problem(error, () => show({ root, signal })));
  }
  return keepFresh(draw, state, signal);
}

async function keepFresh(draw, state, signal) {
  for (;;) {
    try {
      await pause(signal, LOOK_MS);
      // A hidden page, and a table that somebody is in, are left alone.
      if (!document.hidden && state.isAlive && !state.place?.contains(document.activeElement)) await draw();
    } catch {
      if (signal.aborted) return;
    }
  }
}

async function read(status, pages, signal) {
  const found = [];
  let after = "";
  let page = null;
  for (let n = 0; n < pages; n += 1) {
    page = await get(`/api/jobs?limit=30${status ? `&status=${status}` : ""}${after ? `&after=${after}` : ""}`, signal);
    found.push(...page.jobs);
    after = page.next;
    if (!after) break;
  }
  return { jobs: found, next: after };
}

function drawJobs(place, { jobs, next }, draw, state) {
  Object.assign(state, { place, isAlive: jobs.some((job) => !hasEnded(job)) });
  if (!jobs.length) return put(place, card(null, null, empty("jobs", t("jobs.empty"), t("jobs.empty_about"))));
  const rows = jobs.map((job) => [h("button", { type: "button", class: "link", onclick: () => showJob(job) }, tOr(`kind.${job.kind}`, job.kind)), statusTag(job.status), progressOf(job), time(job.created_at), h("div", { class: "row" }, actions(job, draw))]);
  const more = next ? h("div", { class: "row end" }, button(t("do.more"), { onclick: (event) => busy(event.currentTarget, () => { state.pages += 1; return draw(); }) })) : null;
  return put(place, h("div", { class: "stack" }, table(t("page.jobs"), [[t("jobs.what"), "lead"], [t("models.state"), ""], [t("train.progress"), ""], [t("field.when"), ""], ["", "actions"]], rows), more));
}

function progressOf(job) {
  if (job.status === "queued") return job.queue_position ? t("state.queued", { n: job.queue_position }) : "–";
  if (hasEnded(job)) return job.error ? h("span", { class: "small" }, job.error.message) : job.finished_at && job.started_at ? duration((new Date(job.finished_at) - new Date(job.started_at)) / 1000) : "–";
  return h("div", { class: "stack tight", style: { minWidth: "7rem" } }, h("span", { class: "small number" }, percent(job.progress / 100)), h("progress", { max: 100, value: job.progress, "aria-label": t("train.progress") }));
}

function actions(job, draw) {
  const act = (words, path, kind) => button(words, { kind: `small ${kind}`, onclick: (event) => busy(event.currentTarget, async () => { await post(`/api/jobs/${job.id}/${path}`); await draw(); }) });
  if (!hasEnded(job)) return act(t("do.cancel"), "cancel", "danger");
  return job.status === "completed" ? null : act(t("do.again"), "retry", "");
}

function showJob(job) {
  dialog(tOr(`kind.${job.kind}`, job.kind), (close) => {
    const log = h("div", {});
    load(log, async () => {
      const { events } = await get(`/api/jobs/${job.id}/log?type=log&limit=200`);
      return events.length ? h("pre", { class: "mono", tabindex: "0" }, events.map((event) => event.data.message ?? event.data.line ?? JSON.stringify(event.data)).join("\n")) : h("p", { class: "small muted" }, t("jobs.no_log"));
    }, { count: 1 });
    const links = results(job).map((url) => h("a", { href: url, target: "_blank" }, url.split("/").pop()));
    return h("div", { class: "stack" }, facts([["ID", h("code", {}, job.id)], [t("models.state"), statusTag(job.status)], [t("jobs.kind"), h("code", {}, job.kind)], [t("train.attempt"), `${job.attempt} / ${job.max_attempts}`], [t("jobs.started"), job.started_at ? time(job.started_at) : null], [t("jobs.finished"), job.finished_at ? time(job.finished_at) : null], [t("error.request_id"), job.request_id ? h("code", {}, job.request_id) : null], [t("jobs.results"), links.length ? h("div", { class: "stack tight" }, links) : null]]), job.error ? problem(job.error) : null, h("h3", {}, t("jobs.log")), log, h("div", { class: "row end" }, button(t("do.close"), { onclick: () => close(null) })));
  });
}

function results(job) {
  const urls = [job.result?.url, ...(job.result?.files ?? []).map((file) => file?.url)];
  return urls.filter((url) => typeof url === "string" && url.startsWith("/outputs/"));
}
