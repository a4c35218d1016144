// Owns the status of the gateway and of the partitions, once a second, and what was measured in the last ten minutes.

import { Problem, credential, follow, read } from "./api.js";
import { source } from "./source.js";

export const SPAN_MS = 10 * 60_000;
const LEAST_SPAN_MS = 60_000;
const SILENT_MS = 6000;
const A_GAP_MS = 12_000;

/** The last ten minutes: `{at, perSecond, p50, p99, waiting, behindMs, of: {partition: perSecond}}`, by time. */
export const measured = [];

function remember(point) {
  const last = measured.at(-1);
  if (last && point.at <= last.at) return;
  if (last && point.at - last.at > A_GAP_MS) measured.push({ at: point.at - 1, gap: true });
  measured.push(point);
  while (measured.length && measured[0].at < point.at - SPAN_MS) measured.shift();
}

credential.onChange(() => measured.splice(0));

/** Return the values of a kind over the last ten minutes as `{at, value}`; null where nothing was measured. */
export const lately = (kind) => measured.map((point) => ({ at: point.at, value: point.gap ? null : (point[kind] ?? null) }));

/** Return the time that drawings show, `{from, to}`: as far back as there are figures, ten minutes at most. */
export function span() {
  const to = measured.at(-1)?.at ?? Date.now();
  const from = Math.max(measured[0]?.at ?? to, to - SPAN_MS);
  return { from: Math.min(from, to - LEAST_SPAN_MS), to };
}

/** Return for how long the gateway was how well, as `{from, to, health}` by time; `unknown` while it was not heard. */
export function healthRuns() {
  const runs = [];
  for (const point of measured) {
    const health = point.gap ? "unknown" : point.health;
    const last = runs.at(-1);
    if (last) last.to = point.at;
    if (last?.health !== health) runs.push({ from: point.at, to: point.at, health });
  }
  return runs;
}

/** Return what the console works with, from the document of `GET /v1/status`. */
export function statusOf(document) {
  return {
    at: document.at,
    ready: document.status,
    reasons: document.reasons,
    isConnected: document.kafka.connected,
    partitions: document.partitions.map(partitionOf),
    perSecond: document.results_per_second,
    p50: document.requests.p50_ms,
    p99: document.requests.p99_ms,
    failed: document.requests.failed_per_second,
    refused: document.requests.refused_per_second,
    waiting: document.in_flight,
    view: document.view,
    credential: document.credential ?? null,
    version: document.version,
    startedAt: document.started_at,
    streams: document.streams,
  };
}

const partitionOf = (it) => ({
  number: it.partition,
  worker: it.worker,
  state: it.state,
  silentMs: it.silent_ms,
  lag: it.lag,
  recovered: it.recovered,
  toRecover: it.to_recover,
  p50: it.transaction_ms?.p50 ?? null,
  p99: it.transaction_ms?.p99 ?? null,
  perSecond: it.results_per_second,
});

const pastOf = (point) => ({
  at: point.at,
  perSecond: point.results_per_second,
  p50: point.p50_ms,
  p99: point.p99_ms,
  waiting: point.in_flight,
  behindMs: point.view_lag_ms,
  health: point.status,
});

const pointOf = (status) => ({
  at: status.at,
  perSecond: status.perSecond,
  p50: status.p50,
  p99: status.p99,
  waiting: status.waiting,
  behindMs: status.view.lag_ms,
  health: status.ready,
  of: Object.fromEntries(status.partitions.map((it) => [it.number, it.perSecond])),
});

function begin(into) {
  const stream = follow("/v1/status", {
    silentMs: SILENT_MS,
    onEvent({ type, data }) {
      if (type !== "status") return;
      const document = JSON.parse(data);
      const status = statusOf(document);
      for (const point of document.history) remember(pastOf(point));
      remember(pointOf(status));
      into.push(status);
    },
    onLost: (problem) => into.fail(problem),
  });
  return stream.stop;
}

/** The status, pushed once a second. */
export const status = source(() => read("/v1/status"), { staleMs: 5000, start: begin });

/** Return whether the one who sits here may do what needs one of some scopes; an action without is not shown. */
export function may(...scopes) {
  const held = status.data?.credential?.scopes;
  return held !== undefined && held !== null && (held.includes("admin") || scopes.some((scope) => held.includes(scope)));
}

/** Return whether the last answer was that a key is needed. */
export const wantsKey = () => status.error instanceof Problem && status.error.status === 401;
