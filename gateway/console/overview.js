// Owns the overview: how all is, what was measured in the last ten minutes, the partitions, and what needs a person.

import { greatest, sparkline, strip } from "./chart.js";
import { el, show } from "./dom.js";
import { feeds, findings, lateBy, letters, seesLetters, shortRows, shortfalls } from "./findings.js";
import { healthOf } from "./health.js";
import { icon } from "./icons.js";
import { Panel, emptyBox, table } from "./panel.js";
import { healthRuns, lately, measured, span, status } from "./status.js";
import { age, bdi, brief, count, dash, duration, listed, many, moment, name, rate, since } from "./text.js";

const STATES = {
  open: { icon: "open", tone: "tone-ok", said: "open" },
  recovering: { icon: "recovering", tone: "tone-attention", said: "recovering" },
  no_owner: { icon: "attention", tone: "tone-bad", said: "no owner" },
  unknown: { icon: "unknown", tone: "", said: "not known yet" },
};
const SHOWN = 5;

function banner(box) {
  const health = healthOf(status, findings());
  box.dataset.level = health.level;
  const others = health.reasons.filter((reason) => reason.next || health.reasons.length > 1);
  const line = (reason) =>
    el(
      "li",
      { "data-key": reason.code },
      icon(reason.level, `tone-${reason.level}`),
      el("span", { class: "for-ears" }, reason.level === "bad" ? "Not working: " : "Needs attention: "),
      el("div", {}, el("b", {}, reason.text), " ", reason.next, " ", reason.href && el("a", { href: reason.href }, `Open ${reason.link.toLowerCase()}`)),
    );
  show(
    box,
    el("div", { class: "verdict" }, icon(health.level, "huge"), el("div", {}, el("p", { class: "word" }, health.word), el("p", { class: "sentence" }, health.sentence))),
    others.length > 0 && el("ul", { class: "reasons" }, others.map(line)),
  );
}

function tile({ title, figure, unit = "", about, kinds, format, most }) {
  const { from, to } = span();
  const top = greatest(kinds.flatMap(([kind]) => lately(kind).map((point) => point.value)), most);
  const figures = () => {
    const every = 30_000;
    const rows = [];
    for (let at = to; at > from && at > (measured[0]?.at ?? to) - every; at -= every) {
      const inside = measured.filter((point) => !point.gap && point.at <= at && point.at > at - every);
      if (!inside.length) continue;
      const most = kinds.map(([kind]) => inside.map((point) => point[kind]).filter((value) => value !== null && value !== undefined));
      rows.push({ key: String(Math.round(at / every)), cells: [moment(at), ...most.map((values) => (values.length ? format(Math.max(...values)) : dash()))] });
    }
    return table(`${title}: the greatest of each half minute`, ["until", ...kinds.map(([, said]) => [said, "number"])], rows, { kind: "tight" });
  };
  return el(
    "div",
    { class: "tile", "data-key": title },
    el("h3", {}, title),
    el("p", { class: "figure" }, figure, unit && el("span", { class: "unit" }, unit)),
    el("div", { class: "sparks" }, kinds.map(([kind, , tone]) => sparkline(lately(kind), { from, to, most: top, kind: tone }))),
    el("p", { class: "axis", "aria-hidden": "true" }, el("span", {}, `${age(to - from)} ago`), el("span", {}, "now")),
    el("p", { class: "about" }, about),
    el("details", { class: "figures" }, el("summary", {}, "Figures"), figures()),
  );
}

const HEALTH = {
  ready: { kind: "ok", said: "ready" },
  degraded: { kind: "attention", said: "degraded" },
  not_ready: { kind: "bad", said: "not ready" },
  unknown: { kind: "unknown", said: "not heard" },
};

/** Return how well the gateway was over the last ten minutes: a strip, what it says in words, and its figures. */
function healthOverTime() {
  const runs = healthRuns().map((run) => ({ ...run, ...(HEALTH[run.health] ?? HEALTH.unknown) }));
  const reach = span();
  const seconds = (kind) => runs.filter((run) => run.kind === kind).reduce((sum, run) => sum + run.to - run.from, 0);
  const troubled = Object.values(HEALTH).filter(({ kind }) => kind !== "ok" && seconds(kind) > 0);
  const sentence = troubled.length ? listed(troubled.map(({ kind, said }) => `${age(seconds(kind))} ${said}`)) : "ready all the time";
  const rows = runs.toReversed().map((run) => ({ key: String(run.from), cells: [moment(run.from), moment(run.to), run.said] }));
  return el(
    "div",
    { class: "tile over-time", "data-key": "health" },
    el("div", { class: "row" }, el("h3", {}, "Gateway's health"), el("span", { class: "reach" }, `${sentence}, of ${age(reach.to - reach.from)}`)),
    strip(runs, reach),
    el("details", { class: "figures" }, el("summary", {}, "Figures"), table("The gateway's health over time", ["From", "To", "State"], rows, { kind: "tight" })),
  );
}

function tiles(now) {
  const behind = now.view.lag_ms ?? 0;
  const view = !now.view.complete ? "being read" : behind > 1000 ? age(behind) : "up to date";
  const troubled = [now.failed > 0 && `${rate(now.failed)}/s failed`, now.refused > 0 && `${rate(now.refused)}/s turned away`].filter(Boolean);
  return el(
    "div",
    { class: "tiles" },
    tile({
      title: "Throughput",
      figure: rate(now.perSecond),
      unit: "results/s",
      about: "All partitions, whoever asked",
      kinds: [["perSecond", "results/s", "a"]],
      format: rate,
      most: 1,
    }),
    tile({
      title: "Latency",
      figure: now.p50 === null ? "–" : duration(now.p50),
      unit: now.p50 === null ? "" : "p50",
      about: now.p99 === null ? "Nobody asked in the last 10 s" : [`p99 ${duration(now.p99)} in the last 10 s`, ...troubled].join(" · "),
      kinds: [["p99", "p99", "b"], ["p50", "p50", "a"]],
      format: duration,
      most: 1,
    }),
    tile({
      title: "Waiting",
      figure: brief(now.waiting),
      unit: now.waiting === 1 ? "request" : "requests",
      about: "Sent, and not answered yet",
      kinds: [["waiting", "requests", "a"]],
      format: count,
      most: 4,
    }),
    tile({
      title: "View of the stock",
      figure: view,
      unit: !now.view.complete || view === "up to date" ? "" : "behind",
      about: `${many(now.view.skus, "SKU")}, ${many(now.view.rows, "row")}`,
      kinds: [["behindMs", "behind", "a"]],
      format: duration,
      most: 1000,
    }),
    healthOverTime(),
  );
}

// As in the worker's ready line.
const short = (worker) => worker.slice(0, 8);

function partitionTable(now) {
  const { to } = span();
  const from = Math.min(to - 60_000, measured.find((point) => point.of)?.at ?? to);
  const most = greatest(measured.map((point) => greatest(Object.values(point.of ?? {}))), 1);
  const rows = now.partitions.map((it) => {
    const state = STATES[it.state] ?? STATES.no_owner;
    const points = measured.filter((point) => point.of).map((point) => ({ at: point.at, value: point.of[it.number] ?? 0 }));
    const recovery =
      it.state === "recovering" && it.toRecover > 0
        ? el("span", { class: "recovery" }, el("progress", { max: it.toRecover, value: it.recovered, "aria-label": `Recovery of partition ${it.number}` }), ` ${count(it.recovered)} of ${count(it.toRecover)}`)
        : null;
    return {
      key: String(it.number),
      tone: it.state === "open" ? null : "stands-out",
      cells: [
        String(it.number),
        [now.isConnected ? el("span", { class: `tag ${state.tone}` }, icon(state.icon), state.said) : el("span", { class: "tag" }, icon("unknown"), `${state.said} when last heard`), " ", recovery],
        it.worker === null || it.state === "no_owner" ? [dash(), it.worker && el("span", { class: "small" }, ` was ${short(it.worker)}, heard ${age(it.silentMs)} ago`)] : el("code", { title: it.worker }, short(it.worker)),
        it.lag === null ? dash() : count(it.lag),
        [rate(it.perSecond), sparkline(points, { from, to, most, kind: "a inline" })],
        it.p99 === null ? dash() : `${duration(it.p50)} · ${duration(it.p99)}`,
      ],
    };
  });
  const heads = ["Partition", "State", "Owner", ["Waiting in the log", "number"], ["Results/s", "number"], ["Transaction p50 · p99", "number"]];
  return table("The partitions, with owner, state and lag", heads, rows, { kind: "partitions" });
}

function shortTable(data) {
  const rows = shortRows(data.items).slice(0, SHOWN);
  return table(
    "Stock rows that are short",
    ["SKU", "Warehouse", ["Short by", "number"]],
    rows.map((row) => ({
      key: `${row.sku}/${row.warehouse}`,
      cells: [el("a", { href: `#/skus/${encodeURIComponent(row.sku)}` }, bdi(row.sku)), name(row.warehouse), el("b", { class: "tone-attention" }, count(row.short))],
    })),
  );
}

const more = (href, text) => el("p", { class: "more" }, el("a", { href }, text, icon("forward")));

function feedTable(data) {
  const rows = [...data.items].sort((one, other) => lateBy(other) - lateBy(one)).slice(0, SHOWN);
  return table(
    "Feeds of counts",
    ["Feed", "Last counts", ["Refused", "number"]],
    rows.map((feed) => ({
      key: feed.id,
      cells: [name(feed.id), lateBy(feed) ? el("span", { class: "tag tone-attention" }, icon("stale"), "late, ", since(feed.as_of_at)) : since(feed.as_of_at), count(feed.refused)],
    })),
  );
}

function letterTable(data) {
  return table(
    "Records that could not be read",
    ["When", "Reason", ["Place", "number"]],
    data.items.slice(0, SHOWN).map((letter) => ({
      key: `${letter.partition}:${letter.offset}`,
      cells: [since(letter.at), el("code", {}, name(letter.reason)), `${letter.partition}:${letter.offset}`],
    })),
  );
}

/** Show the overview; the returned function ends it. */
export function overview(page) {
  const verdict = el("section", { class: "banner", "aria-label": "Health" });
  const redraw = () => banner(verdict);
  const panels = [
    new Panel({ title: "Measured", source: status, body: tiles, isLive: true, kind: "wide bare", bones: 4 }),
    new Panel({
      title: "Partitions",
      source: status,
      body: partitionTable,
      isEmpty: (now) => now.partitions.length === 0,
      empty: () => emptyBox("No worker has reported yet.", "Start one: holdfast worker.", "attention"),
      isLive: true,
      kind: "wide",
      bones: 5,
    }),
    new Panel({
      title: "Shortfalls",
      source: shortfalls,
      isEmpty: (data) => data.items.length === 0,
      empty: () => emptyBox("No stock row is short.", "Everything that is reserved is there."),
      body: (data) => [shortTable(data), more("#/shortfalls", "All shortfalls")],
    }),
    new Panel({
      title: "Feeds of counts",
      source: feeds,
      isEmpty: (data) => data.items.length === 0,
      empty: () => emptyBox("No feed has sent counts.", "holdfast reconcile brings the counts of a warehouse system in.", "unknown"),
      body: (data) => [feedTable(data), more("#/drift", "All feeds")],
    }),
    new Panel({
      title: "Dead letters",
      source: letters,
      isEmpty: (data) => data.items.length === 0,
      empty: () => emptyBox("Every record could be read.", "Records that are no valid command would be listed here."),
      body: (data) => [letterTable(data), more("#/dead-letters", "All dead letters")],
    }),
  ];
  page.append(verdict, el("div", { class: "panels" }, panels.map((panel) => panel.element)));
  const leave = [status, shortfalls, feeds, letters].map((one) => one.subscribe(redraw));
  const ends = panels.map((panel) => panel.mount());
  const beat = () => {
    redraw();
    panels.at(-1).element.hidden = !seesLetters();
  };
  beat();
  const timer = setInterval(beat, 1000);
  return () => {
    clearInterval(timer);
    for (const end of [...leave, ...ends]) end();
  };
}

/** Return the health in short, for pages that are not the overview. */
export function healthLink() {
  const { level, word } = healthOf(status, findings());
  return el("a", { class: `pill tone-${level}`, href: "#/" }, icon(level), word);
}
