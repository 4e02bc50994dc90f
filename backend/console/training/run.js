/** One training: how far it is, its curve as it grows, and what can be done with what it became. */
import { get, post } from "../shared/api.js";
import { lossCurve } from "../shared/chart.js";
import { h, put } from "../shared/dom.js";
import { duration, number, percent, t } from "../shared/i18n.js";
import { busy, button, card, confirmed, facts, figure, problem, skeletons, statusTag } from "../shared/parts.js";
import { afterwards } from "./afterwards.js";

const MOST_POINTS = 600;
const RUNNING = new Set(["queued", "running"]);

export class Run {
  constructor(id, signal, onChange) {
    Object.assign(this, { id, signal, onChange, state: null, history: [] });
    this.box = h("div", { class: "stack" }, skeletons(4));
    this.figures = h("div", { class: "figures" });
    this.curve = h("div", {});
    this.bar = h("progress", { max: 100, "aria-label": t("train.progress") });
    this.told = h("div", { class: "only-heard", role: "status" });
    this.after = null;
  }

  leave() {
    clearTimeout(this.later);
  }

  async refresh() {
    try {
      this.state = await get(`/api/training/status/${encodeURIComponent(this.id)}`, this.signal);
      this.history = this.state.history ?? [];
      this.draw();
    } catch (error) {
      if (!this.signal.aborted && !this.state) put(this.box, problem(error, () => this.refresh()));
    }
  }

  draw() {
    const { state } = this;
    const isRunning = RUNNING.has(state.status);
    const stop = isRunning ? button(t("train.stop"), { name: "stop", kind: "small danger", disabled: state.stopping, onclick: (event) => this.stop(event.currentTarget) }) : null;
    const wait = state.status === "queued" && state.position ? h("p", { class: "muted" }, t("state.queued", { n: state.position })) : null;
    const name = state.model?.name ?? (state.output_path ?? state.dataset_path).split("/").pop();
    put(this.box, card(null, null, h("div", { class: "stack" },
      h("div", { class: "row between" }, h("div", { class: "row" }, h("h2", {}, name), statusTag(state.stopping && isRunning ? "stopping" : state.status)), stop),
      wait, isRunning ? this.bar : null, this.figures, this.curve, key(this.history), state.error ? problem(state.error) : null, this.told,
      h("details", { class: "more" }, h("summary", {}, t("train.details")), facts([["ID", h("code", {}, this.id)], [t("train.trainer"), state.trainer], [t("train.base"), state.base_model], [t("train.data"), h("code", {}, state.dataset_path)], [t("train.path"), state.output_path ? h("code", {}, state.output_path) : null], [t("train.attempt"), state.attempt > 1 ? String(state.attempt) : null]])))));
    this.drawNumbers();
    if (state.model && !isRunning) {
      this.after ??= afterwards(state, this.signal);
      this.box.append(this.after);
    }
  }

  drawNumbers() {
    const { state } = this;
    const seen = state.metrics ?? {};
    const loss = seen.loss ?? seen.train_loss ?? state.loss;
    const told = [
      [percent((state.progress ?? 0) / 100), t("train.progress")],
      [`${number(seen.current_step ?? state.current_step ?? 0)} / ${number(seen.total_steps ?? state.total_steps ?? 0)}`, t("train.step")],
      [number(seen.epoch ?? state.current_epoch, 2), t("train.epoch")],
      [number(loss, 4), t("train.loss")],
      ["val_loss" in seen ? number(seen.val_loss, 4) : null, t("train.val_loss")],
      ["accuracy" in seen ? percent(seen.accuracy) : null, t("train.accuracy")],
      ["f1_score" in seen ? number(seen.f1_score, 3) : null, "F1"],
      ["tokens_per_second" in seen ? number(seen.tokens_per_second) : null, t("train.speed")],
      [seen.eta_seconds && RUNNING.has(state.status) ? duration(seen.eta_seconds) : null, t("train.eta")],
    ];
    put(this.figures, told.filter(([value]) => value !== null).map(([value, words]) => figure(value, words)));
    if (state.progress) this.bar.value = state.progress;
    put(this.curve, this.history.length ? lossCurve(this.history, Math.max(280, this.curve.clientWidth || 720)) : h("p", { class: "muted small" }, t("train.curve_none")));
  }

  /** What the socket tells: numbers at once, and the whole state where the status changed. */
  hear(type, data) {
    if (type === "progress" && this.state) {
      const metrics = data.metrics ?? {};
      Object.assign(this.state, { progress: data.progress, metrics });
      this.grow(metrics);
      this.drawSoon();
    }
    if (type === "status" && this.state?.status !== data.status) {
      this.told.textContent = t(`status.${data.status}`);
      this.refresh();
    }
  }

  grow({ current_step: step, loss, train_loss: trained, val_loss: validation, learning_rate: rate }) {
    const last = this.history.at(-1);
    if (!Number.isFinite(step) || step < (last?.step ?? 0)) return;
    const point = { step, loss: loss ?? trained, learning_rate: rate };
    if (validation !== undefined && validation !== this.history.findLast((one) => one.val_loss !== undefined)?.val_loss) point.val_loss = validation;
    if (last?.step === step) Object.assign(last, point);
    else this.history.push(point);
    if (this.history.length > MOST_POINTS) this.history = this.history.filter((one, n) => n % 2 || one.val_loss !== undefined);
  }

  drawSoon() {
    this.later ??= setTimeout(() => {
      this.later = null;
      if (!this.signal.aborted) this.drawNumbers();
    }, 200);
  }

  async stop(control) {
    if (!(await confirmed(t("train.stop_sure"), t("train.stop")))) return;
    await busy(control, () => post(`/api/training/stop/${encodeURIComponent(this.id)}`));
    await this.refresh();
    this.onChange();
  }
}

function key(history) {
  if (!history.length) return null;
  const hasValidation = history.some((point) => point.val_loss !== undefined);
  return h("div", { class: "row small muted" }, h("span", {}, h("span", { class: "key-line" }), t("train.loss")), hasValidation ? h("span", {}, h("span", { class: "key-line validation" }), t("train.val_loss")) : null);
}
