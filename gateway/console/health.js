// Owns the sentence of health: how all is, in one word and one sentence, and what to do about what is not well.

import { age, count, duration, listed, many, rate } from "./text.js";

const WORD = { ok: "All is well", attention: "Needs attention", bad: "Not working", unknown: "No contact" };
const WEIGHT = { ok: 0, attention: 1, unknown: 2, bad: 3 };

const which = (partitions) =>
  !partitions?.length ? "Some partitions" : `Partition${partitions.length > 1 ? "s" : ""} ${listed(partitions.map(String))}`;
const verb = (partitions, one, more) => (partitions?.length === 1 ? one : more);

/** Each reason of `GET /v1/status`: how bad it is, what it means to a warehouse, and what to do. */
const REASONS = {
  kafka_unavailable: () => ({
    level: "bad",
    text: "Kafka cannot be reached: nothing can be reserved or changed.",
    next: "Start Kafka again, or mend the network to it. Stock is still shown, as it was when contact was lost.",
  }),
  no_owner: (partitions, status) => ({
    level: partitions?.length >= status.partitions.length ? "bad" : "attention",
    text: `${which(partitions)} ${verb(partitions, "has", "have")} no owner: nobody decides commands for ${verb(partitions, "its", "their")} SKUs.`,
    next: "Start a worker; others take over within 10 s. What was sent meanwhile waits in the log and is not lost.",
  }),
  recovering: (partitions, status) => ({
    level: "attention",
    text: `${which(partitions)} ${verb(partitions, "is", "are")} being recovered${progress(partitions, status)}: commands for ${verb(partitions, "its", "their")} SKUs wait.`,
    next: "Nothing to do: it opens by itself.",
  }),
  view_not_ready: (_, status) => ({
    level: "attention",
    text: `This gateway is still reading the stock${status.view.lag ? `: ${count(status.view.lag)} records to go` : ""}.`,
    next: "Nothing to do: lists and availability come as soon as it has read all.",
  }),
  view_behind: () => ({
    level: "attention",
    text: "What this gateway shows of the stock is behind.",
    next: "Commands are decided on the true stock all the same. Look at the gateway's processor time.",
  }),
  draining: () => ({ level: "attention", text: "This gateway is stopping.", next: "Another one takes its place, or it is started again." }),
  credentials_stale: () => ({
    level: "attention",
    text: "The file of keys, or the set of JWT keys, cannot be read: the last good one is in force.",
    next: "Keys that were revoked since may still work. The gateway's log says what is wrong with the file.",
  }),
  shedding: (partitions) => ({
    level: "attention",
    text: `${which(partitions)} ${verb(partitions, "gets", "get")} more than can be answered in time: some requests are turned away.`,
    next: "Callers try again by themselves. If it lasts, start more workers.",
  }),
};

function progress(partitions, status) {
  const chosen = status.partitions.filter((it) => partitions?.includes(it.number));
  const total = chosen.reduce((sum, it) => sum + it.toRecover, 0);
  const done = chosen.reduce((sum, it) => sum + Math.min(it.recovered, it.toRecover), 0);
  return total > 0 ? ` (${Math.floor((100 * done) / total)} %)` : "";
}

function reasonOf({ code, partitions }, status) {
  const made = REASONS[code]?.(partitions, status);
  return { code, ...(made ?? { level: "attention", text: `The gateway reports ${code.replaceAll("_", " ")}.`, next: null }) };
}

/**
 * Return how all is: `{level, word, sentence, reasons}`.
 *
 * @param {Source} source of the status.
 * @param {{level: string, text: string, href: string}[]} findings what is not right with stock, beside the machinery.
 */
export function healthOf(source, findings = []) {
  const { data: status, error, at } = source;
  if (status === null) {
    const sentence = error === null ? "Asking the gateway how it is." : error.detail;
    return { level: "unknown", word: error === null ? "One moment" : error.status === 401 ? "Key needed" : WORD.unknown, sentence, reasons: [] };
  }
  if (source.isStale) {
    const sentence = `The gateway was last heard ${age(Date.now() - at)} ago; what is shown is from then. ${error?.detail ?? ""}`;
    return { level: "unknown", word: WORD.unknown, sentence, reasons: [] };
  }
  const reasons = [...status.reasons.map((reason) => reasonOf(reason, status)), ...ofRequests(status), ...findings];
  reasons.sort((one, other) => WEIGHT[other.level] - WEIGHT[one.level]);
  const level = reasons[0]?.level ?? "ok";
  if (level === "ok") return { level, word: WORD.ok, sentence: wellSaid(status), reasons };
  return { level, word: WORD[level], sentence: badlySaid(status, reasons), reasons };
}

/** Whether it is the machinery or the stock: who reads this has to know whom to call. */
function badlySaid(status, reasons) {
  const ofStock = reasons.filter((reason) => reason.isOfStock).length;
  const ofMachinery = reasons.length - ofStock;
  if (reasons.length === 1) return reasons[0].text;
  const stock = `${ofStock === 1 ? "one thing" : `${ofStock} things`} about the stock ${ofStock === 1 ? "needs" : "need"} a person`;
  if (ofMachinery === 0) return `Commands are decided as always; ${stock}.`;
  return ofMachinery === 1 ? `${reasons.find((reason) => !reason.isOfStock).text}` : `${ofMachinery} things keep commands from being decided as always.`;
}

const SLOW_MS = 1000;

/** What the gateway does not count as a reason, because it serves all the same. */
function ofRequests({ p50, failed }) {
  const found = [];
  if (failed >= 0.05) found.push({ level: "attention", code: "failed", text: `${rate(failed)} requests a second fail.`, next: "The gateway's log says why." });
  if (p50 > SLOW_MS) found.push({ level: "attention", code: "slow", text: `Half of the requests take longer than ${duration(p50)}.`, next: "Look at which partitions wait, and at the processor time of worker and gateway." });
  return found;
}

function wellSaid(status) {
  const open = status.partitions.filter((it) => it.state === "open").length;
  const all = open === status.partitions.length ? `All ${many(open, "partition")}` : `${open} of ${many(status.partitions.length, "partition")}`;
  const most = status.p99 > SLOW_MS ? `half of the requests are answered within ${duration(status.p50)}, 1 of 100 takes ${duration(status.p99)} or longer` : `99 of 100 requests are answered within ${duration(status.p99)}`;
  const speed = status.p99 === null ? "nobody asks at the moment" : most;
  return `${all} work, and ${speed}. No stock row is short.`;
}
