// Owns the drawings: a line of the last minutes, and the step lines of a stock.

import { el, show, svg } from "./dom.js";
import { brief, count, moment } from "./text.js";

const WIDE = 600;
const HIGH = 60;

/** Return the path of points `[x, y]`; a point without y is a gap. With `stepped` it stays level until the next. */
export function pathOf(points, stepped) {
  let d = "";
  let before = null;
  for (const [x, y] of points) {
    if (y === null) {
      before = null;
      continue;
    }
    const place = `${x.toFixed(1)} ${y.toFixed(1)}`;
    if (before === null) d += `M${place}`;
    else d += stepped ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `L${place}`;
    before = place;
  }
  return d;
}

/** Return the greatest of some numbers, however many; nulls count for nothing. */
export const greatest = (values, least = 0) => values.reduce((most, value) => (value > most ? value : most), least);

/** Return the smallest of 1, 2, 2.5 and 5 times a power of ten that is not below a number. */
export function roundUp(number) {
  if (number <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((nice) => nice >= number * 0.999_999);
}

/** Return a line of the last minutes; `points` are `{at, value}`, in order of time. */
export function sparkline(points, { from, to, most, kind = "" }) {
  const top = greatest(points.map((point) => point.value), most) || 1;
  const places = points
    .filter((point) => point.at >= from)
    .map(({ at, value }) => [((at - from) / (to - from)) * WIDE, value === null ? null : HIGH - 3 - (value / top) * (HIGH - 8)]);
  const line = pathOf(places, false);
  const seen = places.filter(([, y]) => y !== null);
  const isWhole = seen.length > 1 && seen.length === places.length;
  const area = isWhole ? `${line}L${seen.at(-1)[0].toFixed(1)} ${HIGH}L${seen[0][0].toFixed(1)} ${HIGH}Z` : "";
  return svg(
    "svg",
    { class: `spark ${kind}`, viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: "ground", d: `M0 ${HIGH - 0.5}H${WIDE}` }),
    area && svg("path", { class: "area", d: area }),
    svg("path", { class: "line", d: line }),
  );
}

/** Return a strip of stretches of time `{from, to, kind}`. */
export function strip(runs, { from, to }) {
  const x = (at) => (Math.max(0, at - from) / (to - from)) * WIDE;
  const parts = runs.map((run) => svg("rect", { class: run.kind, x: x(run.from).toFixed(1), y: 0, width: Math.max(x(run.to) - x(run.from), 2).toFixed(1), height: 10 }));
  return svg("svg", { class: "strip", viewBox: `0 0 ${WIDE} 10`, preserveAspectRatio: "none", "aria-hidden": "true" }, parts);
}

const LEFT = 46;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 26;
const TALL = 220;
const ROWS = 4;

/** The step lines of a stock: it does not slope between two changes. */
export class StepChart {
  #series = [];
  #range = [0, 1];
  #width = 0;
  #at = null;

  constructor(label) {
    this.label = label;
    this.legend = el("ul", { class: "legend" });
    this.canvas = el("div", { class: "canvas", "data-own": true });
    this.element = el("div", { class: "chart", "data-own": true }, this.legend, this.canvas);
    new ResizeObserver(() => this.#resized()).observe(this.canvas);
    this.canvas.addEventListener("pointermove", (event) => this.#point(event.offsetX));
    this.canvas.addEventListener("pointerleave", () => this.#point(null));
  }

  /** Draw series `{name, kind, points: [{at, value}]}` over a range of time (ms). */
  draw(series, range) {
    this.#series = series;
    this.#range = range;
    this.#redraw();
  }

  #resized() {
    if (Math.abs(this.canvas.clientWidth - this.#width) > 1) this.#redraw();
  }

  #point(x) {
    const [from, to] = this.#range;
    const inside = this.#width - LEFT - RIGHT;
    this.#at = x === null ? null : from + (Math.min(Math.max(x - LEFT, 0), inside) / inside) * (to - from);
    this.#redraw();
  }

  #valueAt(points, at) {
    let value = null;
    for (const point of points) {
      if (point.at > at) break;
      value = point.value;
    }
    return value;
  }

  #redraw() {
    this.#width = this.canvas.clientWidth;
    const [from, to] = this.#range;
    if (this.#width < LEFT + RIGHT + 40 || this.#series.length === 0) return;
    const values = this.#series.flatMap((one) => one.points.map((point) => point.value));
    const step = roundUp(Math.max(...values, 1) / ROWS);
    const least = Math.floor(Math.min(...values, 0) / step) * step;
    const most = Math.max(Math.ceil(Math.max(...values, 1) / step) * step, step);
    const x = (at) => LEFT + ((at - from) / (to - from || 1)) * (this.#width - LEFT - RIGHT);
    const y = (value) => TOP + ((most - value) / (most - least)) * (TALL - TOP - BOTTOM);
    const drawn = [];
    for (let value = least; value <= most + step / 2; value += step) {
      drawn.push(svg("path", { class: value === 0 ? "ground" : "grid", d: `M${LEFT} ${y(value)}H${this.#width - RIGHT}` }));
      drawn.push(svg("text", { class: "tick end", x: LEFT - 8, y: y(value) + 4 }, brief(value)));
    }
    const ticks = this.#width > 560 ? [0, 0.25, 0.5, 0.75, 1] : [0, 0.5, 1];
    for (const share of ticks) {
      const at = from + share * (to - from);
      const kind = share === 0 ? "tick" : share === 1 ? "tick end" : "tick middle";
      drawn.push(svg("text", { class: kind, x: x(at), y: TALL - 6 }, moment(at)));
    }
    for (const one of this.#series) {
      const places = one.points.filter((point) => point.at <= to).map((point) => [x(Math.max(point.at, from)), y(point.value)]);
      if (places.length) places.push([x(to), places.at(-1)[1]]);
      drawn.push(svg("path", { class: `line ${one.kind}`, d: pathOf(places, true) }));
    }
    if (this.#at !== null) drawn.push(svg("path", { class: "rule", d: `M${x(this.#at)} ${TOP}V${TALL - BOTTOM}` }));
    const size = { width: this.#width, height: TALL, viewBox: `0 0 ${this.#width} ${TALL}` };
    this.canvas.replaceChildren(svg("svg", { ...size, role: "img", "aria-label": this.label() }, drawn));
    this.#drawLegend();
  }

  #drawLegend() {
    const at = this.#at ?? this.#range[1];
    const said = this.#series.map(({ name, kind, points }) => {
      const value = this.#valueAt(points, at);
      const sample = svg("svg", { class: "sample", viewBox: "0 0 28 8", "aria-hidden": "true" }, svg("path", { class: `line ${kind}`, d: "M1 4H27" }));
      return el("li", {}, sample, name, el("b", {}, value === null ? "–" : count(value)));
    });
    show(this.legend, said, el("li", { class: "at" }, this.#at === null ? "now" : moment(at)));
  }
}
