// Owns the talk with the gateway: the key, requests, problems, and streams that come back by themselves.

import { Events } from "./events.js";

const KEPT = "holdfast.key";
const ANSWERS_WITHIN_MS = 40_000;
const COMES_BACK_MS = [1000, 2000, 4000, 8000];

/** What went wrong with a request: a problem document, or no answer at all (status 0). */
export class Problem extends Error {
  constructor({ status = 0, code = "no_answer", detail = "", field, result, requestId = null } = {}) {
    super(detail);
    Object.assign(this, { status, code, detail, field, result, requestId });
  }

  /** Whether the request may or may not have been carried out, so that the same key is to be sent again. */
  get leavesOpen() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

const keyListeners = new Set();

/** The key of the one who sits here; kept for this tab, until it is closed. */
export const credential = {
  get: () => sessionStorage.getItem(KEPT),
  set(key) {
    if (key) sessionStorage.setItem(KEPT, key);
    else sessionStorage.removeItem(KEPT);
    for (const listener of keyListeners) listener();
  },
  onChange: (listener) => keyListeners.add(listener),
};

function headersWith(more) {
  const key = credential.get();
  return key ? { ...more, Authorization: `Bearer ${key}` } : more;
}

/** Return a path with its query string; parameters that are null are left out, lists are repeated. */
export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") query.append(name, each);
    }
  }
  return query.size ? `${path}?${query}` : path;
}

async function problemOf(answer) {
  const requestId = answer.headers.get("holdfast-request-id");
  try {
    return new Problem({ ...(await answer.json()), status: answer.status, requestId });
  } catch {
    const detail = `The gateway answered ${answer.status} without saying why.`;
    return new Problem({ status: answer.status, code: "unknown", detail, requestId });
  }
}

const noAnswer = () => new Problem({ detail: "The gateway does not answer. Is it running, and is this machine connected?" });

async function ask(url, options, signal) {
  const signals = [AbortSignal.timeout(ANSWERS_WITHIN_MS), ...(signal ? [signal] : [])];
  let answer;
  let body;
  try {
    answer = await fetch(url, { cache: "no-store", redirect: "error", ...options, signal: AbortSignal.any(signals) });
    if (answer.ok) body = await answer.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw noAnswer();
  }
  if (!answer.ok) throw await problemOf(answer);
  return { body, status: answer.status, behindMs: Number(answer.headers.get("holdfast-view-lag-ms") ?? body.lag_ms ?? 0) };
}

/** Read a document: `{body, behindMs}`, `behindMs` for how long the gateway's view has been behind. */
export const read = (path, parameters, signal) =>
  ask(address(path, parameters), { headers: headersWith({ Accept: "application/json" }) }, signal);

/** Send a document under an idempotency key. */
export const send = (path, document, key) =>
  ask(path, {
    method: "POST",
    headers: headersWith({ "Content-Type": "application/json", "Idempotency-Key": key }),
    body: JSON.stringify(document),
  });

/** Return a new idempotency key. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `console-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * Follow a stream until `stop` is called: it comes back where it was after every interruption, and rests while nobody
 * looks at the tab, because a browser has only six connections to a gateway.
 *
 * @param {string} url
 * @param {{onEvent: Function, onOpen?: Function, onLost?: Function, silentMs: number}} listeners `onLost` gets the
 *   Problem; no byte for `silentMs` counts as an interruption.
 * @returns {{stop: Function}}
 */
export function follow(url, { onEvent, onOpen = () => {}, onLost = () => {}, silentMs }) {
  let stopped = false;
  let current = null;
  let lastId = null;
  let tries = 0;
  let wake = () => {};

  async function once() {
    current = new AbortController();
    let watchdog = setTimeout(() => current.abort(), silentMs);
    const headers = headersWith({ Accept: "text/event-stream", ...(lastId === null ? {} : { "Last-Event-ID": lastId }) });
    try {
      const answer = await fetch(url, { headers, cache: "no-store", redirect: "error", signal: current.signal });
      if (!answer.ok) {
        if (answer.status === 410 || answer.status === 422) lastId = null; // begin anew rather than never
        throw await problemOf(answer);
      }
      tries = 0;
      onOpen();
      const events = new Events();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => current.abort(), silentMs);
        for (const event of events.take(part.value)) {
          if (event.id !== null) lastId = event.id;
          onEvent(event);
        }
      }
    } catch (error) {
      if (!stopped && !document.hidden) onLost(error instanceof Problem ? error : noAnswer());
    } finally {
      clearTimeout(watchdog);
      current.abort();
    }
  }

  const pause = (ms) =>
    new Promise((done) => {
      const timer = setTimeout(done, ms);
      wake = () => {
        clearTimeout(timer);
        done();
      };
    });
  const seen = () => {
    if (document.hidden) current?.abort();
    else wake();
  };

  async function run() {
    document.addEventListener("visibilitychange", seen);
    while (!stopped) {
      if (!document.hidden) await once();
      if (stopped) break;
      const wait = document.hidden ? 3600_000 : COMES_BACK_MS[Math.min(tries++, COMES_BACK_MS.length - 1)];
      await pause(wait * (0.8 + 0.4 * Math.random()));
    }
    document.removeEventListener("visibilitychange", seen);
  }

  run();
  return {
    stop() {
      stopped = true;
      current?.abort();
      wake();
    },
  };
}
