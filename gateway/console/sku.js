// Owns the page of a SKU: its stock by warehouse and channel, its course, its reservations, and who waits.

import { mayAdjust, mayRelease, openAdjust, openRelease } from "./actions.js";
import { read } from "./api.js";
import { StepChart } from "./chart.js";
import { el, show } from "./dom.js";
import { icon } from "./icons.js";
import { Panel, emptyBox, problemBox, table } from "./panel.js";
import { promises } from "./promises.js";
import { source } from "./source.js";
import { Stock } from "./stock.js";
import { bdi, count, dash, many, moment, name, plain, signed, since, time } from "./text.js";
import { course, totals } from "./timeline.js";

const SERIES = [
  { field: "on_hand", name: "on hand", kind: "a" },
  { field: "reserved", name: "reserved", kind: "b" },
  { field: "available", name: "available", kind: "c" },
];
const SPANS = [["10 min", 600_000], ["1 h", 3600_000], ["24 h", 86_400_000], ["all that is held", null]];
const FIRST_CHANGES = 10;
const SHOWN_CHANGES = 200;
const SHOWN_FIGURES = 100;
const MOST_CHANNELS = 12;
const ROW = [["On hand", "on_hand"], ["Reserved", "reserved"], ["Safety stock", "safety_stock"], ["Damaged", "damaged"], ["Quarantine", "quarantine"], ["Inbound", "inbound"]];
const UNITS = { on_hand: "on hand", reserved: "reserved", safety_stock: "safety stock", damaged: "damaged", quarantine: "quarantine", inbound: "inbound" };

const quiet = (number) => (number ? count(number) : el("span", { class: "none" }, "0"));

function rowsPanel(model) {
  const line = (row) => ({
    key: row.warehouse,
    tone: row.reserved > row.on_hand ? "stands-out" : null,
    cells: [
      [name(row.warehouse), " ", row.reserved > row.on_hand && el("span", { class: "tag tone-attention" }, icon("attention"), `short by ${count(row.reserved - row.on_hand)}`)],
      el("b", {}, count(row.available)),
      ...ROW.map(([, field]) => quiet(row[field] ?? 0)),
      mayAdjust() && el("button", { type: "button", onclick: () => openAdjust({ sku: model.sku, warehouse: row.warehouse, onHand: row.on_hand }) }, "Adjust", el("span", { class: "for-ears" }, " the stock in ", name(row.warehouse))),
    ],
  });
  return new Panel({
    title: "By warehouse",
    source: model.stock,
    kind: "wide",
    isEmpty: (data) => data.rows.length === 0,
    empty: () =>
      el("div", {}, emptyBox("No stock row has this SKU.", "It begins with its first adjustment. Is the SKU written as in the commands?", "skus"), mayAdjust() && el("p", { class: "row" }, el("button", { type: "button", class: "main", onclick: () => openAdjust({ sku: model.sku }) }, "Adjust stock"))),
    body(data) {
      const sum = totals(data.rows);
      const foot = data.rows.length > 1 ? { key: "sum", cells: ["All", el("b", {}, count(sum.available)), ...ROW.map(([, field]) => count(sum[field])), false] } : null;
      return [
        data.from === "view" && el("p", { class: "note" }, icon("stale"), `From this gateway's view, because the log does not answer: ${plain(data.problem.detail)}`),
        table("Stock by warehouse", ["Warehouse", ["Available", "number"], ...ROW.map(([said]) => [said, "number"]), ["", "tools"]], data.rows.map(line), { kind: "roomy", foot }),
      ];
    },
  });
}

function channelsPanel(model) {
  async function load(signal) {
    const { body, behindMs } = await read("/v1/channels", { limit: MOST_CHANNELS }, signal);
    const named = body.items.map((item) => item.id).filter((id) => id !== "*");
    const asked = named.map((channel) => read("/v1/availability", { sku: model.sku, channel }, signal));
    const found = await Promise.allSettled(asked);
    const items = found.filter((one) => one.status === "fulfilled").map((one) => one.value.body.items[0]);
    return { body: { items, isMore: body.next !== null }, behindMs };
  }
  const line = (item) => ({
    key: item.channel,
    cells: [
      name(item.channel),
      item.allowed ? el("b", {}, count(item.available)) : el("span", { class: "none" }, "may not sell"),
      count(item.most_per_reservation),
      quiet(item.backorder_room),
      item.promises.length ? [count(item.promises[0].available_to_promise), " ", time(item.promises[0].at)] : dash(),
    ],
  });
  return new Panel({
    title: "By channel",
    kind: "half",
    source: source(load, { everyMs: 10_000 }),
    isEmpty: (data) => data.items.length === 0,
    empty: () => emptyBox("No channel has rules of its own.", "Every channel may then have all that is available.", "unknown"),
    body: (data) => [
      table("What each channel may have", ["Channel", ["Available", "number"], ["At once", "number"], ["May wait", "number"], "Next promise"], data.items.map(line), { kind: "roomy" }),
      data.isMore && el("p", { class: "more small" }, `The first ${MOST_CHANNELS} channels.`),
    ],
  });
}

class CoursePanel extends Panel {
  constructor(model) {
    super({ title: "Course", source: model.recent, kind: "wide", bones: 6, body: () => this.drawn() });
    this.model = model;
    this.warehouse = null;
    this.span = null;
    this.chart = new StepChart(() => this.label());
    this.figures = el("div", {});
    this.isEmpty = () => this.model.changes.length === 0;
    this.empty = () => emptyBox("No change since this gateway started.", "The course begins with the next one.", "stale");
    this.tools = () => this.choices();
  }

  choices() {
    const rows = this.model.stock.data?.rows ?? [];
    const choose = (event) => {
      this.warehouse = event.target.value || null;
      this.draw();
    };
    const reach = (event) => {
      this.span = Number(event.target.value) || null;
      this.draw();
    };
    const warehouses = rows.map((row) => el("option", { value: row.warehouse }, plain(row.warehouse)));
    return [
      rows.length > 1 && el("label", { "data-key": "warehouse" }, el("span", { class: "for-ears" }, "Warehouse"), el("select", { onchange: choose }, el("option", { value: "" }, "All warehouses"), warehouses)),
      el("label", { "data-key": "span" }, el("span", { class: "for-ears" }, "How far back"), el("select", { onchange: reach }, SPANS.toReversed().map(([said, ms]) => el("option", { value: ms ?? "" }, said)))),
    ];
  }

  range() {
    const to = Date.now();
    const first = Math.min(this.model.changes[0]?.at ?? to, to - 60_000);
    return [this.span === null ? first - (to - first) * 0.03 : to - this.span, to];
  }

  label() {
    const data = this.points.at(-1);
    const said = SERIES.map((one) => `${one.name} ${count(data?.[one.field] ?? 0)}`).join(", ");
    return `Stock of ${plain(this.model.sku)} over time; now ${said}. The figures stand in a table below.`;
  }

  drawn() {
    return [el("div", { "data-key": "slot", "data-own": true, class: "slot" })];
  }

  draw() {
    super.draw();
    if (this.state === "loading" || this.model === undefined) return;
    const slot = this.content.querySelector(".slot");
    if (slot === null) return;
    if (!slot.firstChild) slot.append(this.chart.element, this.figures);
    const [from, to] = this.range();
    this.points = course(this.model.changes, this.model.stock.data?.rows ?? [], this.warehouse).map((point) => ({ ...point, at: Math.max(point.at, from) }));
    this.chart.draw(SERIES.map(({ field, ...one }) => ({ ...one, points: this.points.map((point) => ({ at: point.at, value: point[field] })) })), [from, to]);
    const rows = this.points.toReversed().slice(0, SHOWN_FIGURES).map((point, index) => ({ key: `${this.points.length - index}`, cells: [moment(point.at), ...SERIES.map((one) => count(point[one.field]))] }));
    show(this.figures, el("details", { class: "figures" }, el("summary", {}, "Figures"), table("The course of the stock in figures", ["At", ...SERIES.map((one) => [one.name, "number"])], rows, { kind: "tight" })));
  }
}

function changesPanel(model) {
  let shown = FIRST_CHANGES;
  const deltas = (change) =>
    Object.entries(change.delta)
      .filter(([field, by]) => by !== 0 && UNITS[field])
      .map(([field, by]) => el("span", { class: "delta" }, el("b", {}, signed(by)), ` ${UNITS[field]}`));
  const line = (change) => {
    const { cause } = change;
    const about = [cause.reservation_id, cause.reference, cause.reason].filter(Boolean);
    return {
      key: String(change.seq),
      cells: [
        time(change.at),
        [el("b", {}, plain(cause.type.replaceAll("_", " "))), about.length > 0 && el("span", { class: "small" }, about.map((it) => [" ", name(it)]))],
        change.book === undefined ? name(change.warehouse) : el("span", { class: "none" }, "queue"),
        el("span", { class: "deltas" }, deltas(change)),
        name(cause.actor ?? cause.source),
        count(change.seq),
      ],
    };
  };
  const showAll = () => {
    shown = SHOWN_CHANGES;
    panel.draw();
  };
  const panel = new Panel({
    title: "Changes",
    source: model.recent,
    kind: "wide",
    bones: 6,
    tools: () => (model.isFollowing ? el("span", { class: "live" }, icon("live"), "as they happen") : el("span", { class: "tag tone-attention", title: model.lost && plain(model.lost.detail) }, icon("stale"), "not followed")),
    isEmpty: () => model.changes.length === 0,
    empty: () => emptyBox("Nothing changed since this gateway started.", "The next change appears here by itself.", "stale"),
    body: (data) => [
      table("The last changes, newest first", ["When", "What", "Warehouse", "Change", ["By", "wide-only"], ["Seq", "number wide-only"]], model.changes.toReversed().slice(0, shown).map(line), { kind: "roomy changes" }),
      el(
        "p",
        { class: "more small row" },
        model.changes.length > shown && shown === FIRST_CHANGES && el("button", { type: "button", onclick: showAll }, "Earlier changes"),
        el("span", {}, `${count(Math.min(shown, model.changes.length))} of ${count(model.changes.length)} that this gateway holds. `, data.fromAt ? ["Nothing is missing since ", time(data.fromAt), "."] : "That is every one that there ever was."),
      ),
    ],
  });
  return panel;
}

function reservationsPanel(model) {
  let more = [];
  let next;
  let problem = null;
  async function goOn(after) {
    try {
      const found = await model.readOn(after);
      more = found === null ? [] : [...more, ...found.reservations];
      next = found === null ? undefined : found.next;
      problem = null;
    } catch (error) {
      problem = error;
    }
    panel.draw();
  }
  const line = (it) => {
    const held = it.allocations.reduce((sum, one) => sum + one.quantity, 0);
    return {
      key: it.reservation_id,
      cells: [
        name(it.reservation_id),
        el("b", {}, count(held)),
        [it.allocations.map((one, index) => [index ? ", " : "", it.allocations.length > 1 ? `${count(one.quantity)} ` : "", name(one.warehouse)]), it.waiting ? [" ", el("span", { class: "tag" }, `${count(it.waiting)} waiting`)] : ""],
        name(it.channel),
        name(it.order_id),
        it.expires_at === null ? "never" : since(it.expires_at),
        mayRelease() && el("button", { type: "button", onclick: () => openRelease({ sku: model.sku, reservation: it, held }) }, "Release", el("span", { class: "for-ears" }, " ", name(it.reservation_id))),
      ],
    };
  };
  const panel = new Panel({
    title: "Open reservations",
    source: model.stock,
    kind: "wide",
    bones: 4,
    isEmpty: (data) => data.reservations !== null && data.reservations.length === 0 && data.next === null,
    empty: () => emptyBox("Nothing of this SKU is held.", "Reservations appear here until they are committed, released or expired."),
    body(data) {
      if (data.reservations === null) return problemBox(data.problem, () => model.stock.again());
      const known = new Set(data.reservations.map((it) => it.reservation_id));
      const rows = [...data.reservations, ...more.filter((it) => !known.has(it.reservation_id))];
      const goesOn = next === undefined ? data.next : next;
      return [
        table("Open reservations, by id", ["Reservation", ["Held", "number"], "In", "Channel", ["Order", "wide-only"], "Ends", ["", "tools"]], rows.map(line), { kind: "roomy" }),
        problem && problemBox(problem),
        goesOn && el("p", { class: "more" }, el("button", { type: "button", onclick: () => goOn(goesOn) }, "More reservations")),
      ];
    },
  });
  return panel;
}

function backordersPanel(model) {
  const waiting = source((signal) => read("/v1/backorders", { sku: model.sku, limit: 20 }, signal).catch((problem) => {
    if (problem.code !== "unknown_sku") throw problem;
    return { body: { items: [], backordered: 0, promised: 0 }, behindMs: 0 };
  }), { everyMs: 20_000 });
  model.onQuiet = () => waiting.again();
  const line = (it, index) => ({
    key: it.reservation_id,
    cells: [name(it.reservation_id), String(index + 1), el("b", {}, count(it.quantity)), name(it.channel), since(it.placed_at), it.promised_at === null ? "no date" : time(it.promised_at)],
  });
  return new Panel({
    title: "Backorders",
    kind: "half",
    source: waiting,
    isEmpty: (data) => data.items.length === 0,
    empty: () => emptyBox("Nobody waits for this SKU."),
    body: (data) => [
      el("p", { class: "note" }, `${many(data.backordered, "unit")} wait without a date, ${count(data.promised)} for announced goods.`),
      table("Who waits, in the order in which they are served", ["Reservation", ["Rank", "number"], ["Units", "number"], "Channel", "Waits since", "Promised"], data.items.map(line), { kind: "roomy" }),
    ],
  });
}

function inboundsPanel(model) {
  const line = (it) => ({
    key: it.inbound_id,
    cells: [name(it.inbound_id), name(it.warehouse), time(it.eta_at), el("b", {}, count(it.remaining)), quiet(it.claimed)],
  });
  return new Panel({
    title: "Announced goods",
    kind: "half",
    source: source((signal) => read("/v1/inbounds", { sku: model.sku }, signal), { everyMs: 15_000 }),
    isEmpty: (data) => data.items.length === 0,
    empty: () => emptyBox("Nothing is announced.", "Deliveries that are expected stand here.", "unknown"),
    body: (data) => table("Announced goods", ["Delivery", "Warehouse", "Expected", ["To come", "number"], ["Claimed", "number"]], data.items.map(line), { kind: "roomy" }),
  });
}

function figures(model, box) {
  const { data } = model.stock;
  if (data === null) return show(box, Array.from({ length: 4 }, () => el("div", { class: "figure-box" }, el("span", { class: "bone" }))));
  const sum = totals(data.rows);
  const one = (said, number, kind = "") => el("div", { class: `figure-box ${kind}` }, el("dt", {}, said), el("dd", {}, count(number)));
  const short = data.rows.reduce((all, row) => all + Math.max(0, row.reserved - row.on_hand), 0);
  return show(
    box,
    one("Available", sum.available, "first"),
    one("On hand", sum.on_hand),
    one("Reserved", sum.reserved),
    one("Safety stock", sum.safety_stock),
    one("Inbound", sum.inbound),
    short > 0 && el("div", { class: "figure-box tone-attention" }, el("dt", {}, icon("attention"), "Short by"), el("dd", {}, count(short))),
  );
}

/** Show the page of a SKU; the returned function ends it. */
export function skuPage(page, sku) {
  const model = new Stock(sku);
  const box = el("dl", { class: "figures-row" });
  const tools = el("div", { class: "beside" });
  const changes = changesPanel(model);
  const panels = [rowsPanel(model), new CoursePanel(model), reservationsPanel(model), changes, backordersPanel(model), inboundsPanel(model), channelsPanel(model), promises(model)];
  const drawTools = () => show(tools, mayAdjust() && el("button", { type: "button", class: "main", onclick: () => openAdjust({ sku, rows: model.stock.data?.rows }) }, "Adjust stock"));
  page.append(
    el("p", { class: "crumbs" }, el("a", { href: "#/skus" }, icon("back"), "SKUs")),
    el("div", { class: "title" }, el("h1", { tabindex: "-1" }, bdi(sku)), tools),
    box,
    el("div", { class: "panels" }, panels.map((panel) => panel.element)),
  );
  const ends = [model.stock.subscribe(() => figures(model, box)), ...panels.map((panel) => panel.mount()), model.follow(() => changes.draw())];
  drawTools();
  const timer = setInterval(drawTools, 1000);
  return () => {
    clearInterval(timer);
    for (const end of ends) end();
  };
}
