// Owns what panels show: a document that is read again and again, or pushed by a stream, with its age and its failures.

import { credential } from "./api.js";

/** A document for any number of panels; it is read only while one of them is there. */
export class Source {
  data = null;
  at = null;
  behindMs = 0;
  error = null;
  #listeners = new Set();
  #load;
  #everyMs;
  #timer = null;
  #abort = null;
  #stop = null;

  /**
   * @param {Function} load gets an AbortSignal and returns `{body, behindMs}`.
   * @param {{everyMs?: number, staleMs?: number, start?: Function}} options `staleMs`: older data is stale; `start`:
   *   begins to push instead of reading, and returns what ends that.
   */
  constructor(load, { everyMs = null, staleMs = everyMs === null ? 60_000 : everyMs * 3 + 5000, start = null } = {}) {
    this.#load = load;
    this.#everyMs = everyMs;
    this.staleMs = staleMs;
    this.start = start;
  }

  /** Call a function now and at every change, until the returned function is called. */
  subscribe(listener) {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#begin();
    listener();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#end();
    };
  }

  get isStale() {
    if (this.at === null) return false;
    return Date.now() - this.at > this.staleMs || this.behindMs > 10_000;
  }

  /** Take new data. */
  push(body, behindMs = 0) {
    Object.assign(this, { data: body, at: Date.now(), behindMs, error: null });
    this.#tell();
  }

  /** Take a failure; the last data stays, and gets old. */
  fail(problem) {
    this.error = problem;
    this.#tell();
  }

  /** Forget everything and begin anew, as for another key. */
  reset() {
    Object.assign(this, { data: null, at: null, behindMs: 0, error: null });
    if (this.#listeners.size) {
      this.#end();
      this.#begin();
    }
    this.#tell();
  }

  /** Read again now. */
  async again() {
    if (this.start !== null) {
      this.#end();
      this.#begin();
      return;
    }
    clearTimeout(this.#timer);
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    try {
      const { body, behindMs } = await this.#load(abort.signal);
      if (!abort.signal.aborted) this.push(body, behindMs);
    } catch (problem) {
      if (!abort.signal.aborted) this.fail(problem);
    }
    if (!abort.signal.aborted && this.#everyMs !== null) this.#timer = setTimeout(() => this.#soon(), this.#everyMs);
  }

  #soon() {
    if (document.hidden) this.#timer = setTimeout(() => this.#soon(), 1000);
    else this.again();
  }

  #begin() {
    if (this.start === null) this.again();
    else this.#stop = this.start(this);
  }

  #end() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#stop?.();
    this.#stop = null;
  }

  #tell() {
    for (const listener of this.#listeners) listener();
  }
}

const shared = new Set();

/** Return a source that begins anew whenever another key is given. */
export function source(load, options) {
  const made = new Source(load, options);
  shared.add(new WeakRef(made));
  return made;
}

credential.onChange(() => {
  for (const kept of shared) {
    const known = kept.deref();
    if (known) known.reset();
    else shared.delete(kept);
  }
});
