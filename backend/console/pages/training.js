/** Trainings: started, followed live, stopped, and then tried, measured and merged. */
import { get } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { t, time } from "../shared/i18n.js";
import { button, empty, load, pageHead, card, statusTag, advice } from "../shared/parts.js";
import { connect } from "../shared/socket.js";
import { startDialog } from "../training/start.js";
import { Run } from "../training/run.js";

export async function show({ root, signal, rest, query }) {
  const board = new Board(signal, rest[0]);
  const start = button(t("train.new"), { name: "plus", kind: "primary", onclick: () => startDialog(signal, query, (id) => board.added(id)) });
  put(root, pageHead(t("page.training"), t("train.about"), start), board.line, h("div", { class: "columns" }, board.list, board.place));
  await board.load();
  if (query.get("dataset")) start.click();
}

/** The list of trainings and the one that is looked at, kept fresh by the socket. */
class Board {
  constructor(signal, chosen) {
    Object.assign(this, { signal, chosen, tasks: [], run: null });
    this.line = h("div", { "aria-live": "polite" });
    this.list = h("div", {});
    this.place = h("div", {});
    connect("/ws/training", { signal, onMessage: (message) => this.hear(message), onState: (state) => this.setLine(state) });
  }

  setLine(state) {
    const wasAway = this.isAway;
    this.isAway = state === "away";
    put(this.line, this.isAway ? advice(h("p", {}, t("train.away"))) : null);
    // What happened meanwhile stands in the state, curve included.
    if (wasAway && !this.isAway) this.load();
  }

  async load() {
    await load(this.list, async () => {
      this.tasks = (await get("/api/training/list?limit=50", this.signal)).tasks;
      return this.drawList();
    }, { signal: this.signal });
    this.look(this.chosen ?? this.tasks[0]?.task_id);
  }

  drawList() {
    if (!this.tasks.length) {
      put(this.place, card(null, null, empty("train", t("train.empty"), t("train.empty_about"), h("a", { class: "button", href: "#/datasets" }, t("page.datasets")))));
      return h("div", { class: "card" }, h("p", { class: "muted small" }, t("train.none_yet")));
    }
    return h("div", { class: "stack tight", role: "group", "aria-label": t("train.list") }, this.tasks.map((task) => this.drawPick(task)));
  }

  drawPick(task) {
    const bar = task.status === "running" ? h("progress", { max: 100, value: task.progress, "aria-label": t("train.progress") }) : null;
    return h("button", { type: "button", class: "pick", "aria-pressed": String(task.task_id === this.chosen), onclick: () => this.look(task.task_id) },
      h("span", { class: "row between" }, h("b", {}, task.model?.name ?? (task.output_path ?? task.dataset_path).split("/").pop()), statusTag(task.status)),
      h("span", { class: "small muted" }, `${task.base_model} · ${time(task.created_at)}`), bar);
  }

  look(id) {
    if (!id) return;
    this.chosen = id;
    put(this.list, this.drawList());
    if (this.run?.id !== id) {
      this.run?.leave();
      this.run = new Run(id, this.signal, () => this.load());
    }
    put(this.place, this.run.box);
    this.run.refresh();
  }

  added(id) {
    this.chosen = id;
    this.load();
  }

  hear({ type, data }) {
    if (!data?.task_id) return;
    const task = this.tasks.find((one) => one.task_id === data.task_id);
    if (!task) {
      this.laterLoad ??= setTimeout(() => { this.laterLoad = null; this.load(); }, 500);
      return;
    }
    if (type === "progress") task.progress = data.progress;
    if (type === "status") Object.assign(task, { status: data.status, position: data.position ?? null, model: data.model ?? task.model });
    if (type === "progress" || type === "status") put(this.list, this.drawList());
    if (this.run?.id === data.task_id) this.run.hear(type, data);
  }
}
