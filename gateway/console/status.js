// Owns the status of the gateway and of the partitions, once a second, and what was measured in the last ten minutes.

import { Problem, credential, follow, read } from "./api.js";
import { source } from "./source.js";

export const SPAN_MS = 10 * 60_000;
const KEPT = "holdfast.measured";
const SILENT_MS = 6000;
// An owner writes each second; one that was silent for so long is none.
const OWNER_SILENT_MS = 5000;

/** The last ten minutes: `{at, perSecond, p50, p99, waiting, behindMs, level, of: {partition: perSecond}}`, by time. */
export const measured = [];

function remember(point) {
  const last = measured.at(-1);
  if (last && point.at - last.at < 500) measured.pop();
  if (last && point.at - last.at > 5000) measured.push({ at: last.at + 1000, gap: true }, { at: point.at - 1, gap: true });
  measured.push(point);
  while (measured.length && measured[0].at < point.at - SPAN_MS) measured.shift();
}

function restore() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
    measured.push(...kept.filter((point) => point.at > Date.now() - SPAN_MS && point.at <= Date.now()));
  } catch {
    sessionStorage.removeItem(KEPT);
  }
}

restore();
addEventListener("pagehide", () => {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(measured));
  } catch {
    sessionStorage.removeItem(KEPT);
  }
});
credential.onChange(() => measured.splice(0));

/** Return the values of a kind over the last ten minutes as `{at, value}`; null where there was no contact. */
export const lately = (kind) => measured.map((point) => ({ at: point.at, value: point.gap ? null : point[kind] }));

/** Return what the console works with, from the document of `GET /v1/status`. */
export function statusOf(document) {
  const partitions = (document.partitions ?? []).map((it) => partitionOf(it, document.at));
  return {
    at: document.at,
    ready: document.status,
    reasons: document.reasons ?? [],
    kafka: document.kafka ?? null,
    partitions,
    perSecond: partitions.reduce((sum, it) => sum + it.perSecond, 0),
    p50: document.latency_ms?.p50 ?? null,
    p99: document.latency_ms?.p99 ?? null,
    answered: document.latency_ms?.count ?? null,
    waiting: document.in_flight ?? 0,
    view: document.view ?? {},
    credential: document.credential ?? null,
    gateway: document.gateway ?? {},
  };
}

function partitionOf(it, now) {
  const isSilent = it.at === null || it.at === undefined || now - it.at > OWNER_SILENT_MS;
  const state = it.state === null || it.state === undefined || isSilent ? "no_owner" : it.state === "stopped" ? "no_owner" : it.state;
  return {
    number: it.partition,
    worker: it.worker ?? null,
    state,
    at: it.at ?? null,
    position: it.position ?? null,
    end: it.log_end ?? null,
    lag: it.position === null || it.log_end === null || it.position === undefined ? null : Math.max(0, it.log_end - it.position),
    recovered: it.recovered ?? 0,
    toRecover: it.to_recover ?? 0,
    p50: it.transaction_ms?.p50 ?? null,
    p99: it.transaction_ms?.p99 ?? null,
    perSecond: it.results_per_s ?? 0,
  };
}

function begin(into) {
  const stream = follow("/v1/status", {
    silentMs: SILENT_MS,
    onEvent({ type, data }) {
      if (type === "bye" || !data) return;
      const status = statusOf(JSON.parse(data));
      remember({
        at: Date.now(),
        perSecond: status.perSecond,
        p50: status.p50,
        p99: status.p99,
        waiting: status.waiting,
        behindMs: status.view.lag_ms ?? 0,
        of: Object.fromEntries(status.partitions.map((it) => [it.number, it.perSecond])),
      });
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
