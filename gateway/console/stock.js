// Owns what is known of one SKU: read through the log, kept up by its changes as they happen.

import { address, follow, read } from "./api.js";
import { source } from "./source.js";

const FIRST_RESERVATIONS = 20;
// That one query lists.
const MOST_RESERVATIONS = 100;
const RECENT = 500;
const SILENT_MS = 40_000;
const QUIET_MS = 1500;

const answersFromView = (problem) => [0, 429, 503, 504].includes(problem.status);

/** One SKU: three sources (`stock`, `recent`, `waiting`) that are brought up to date by one stream. */
export class Stock {
  constructor(sku) {
    this.sku = sku;
    this.seq = 0;
    this.changes = [];
    this.isFollowing = false;
    this.lost = null;
    this.reservations = FIRST_RESERVATIONS;
    this.stock = source((signal) => this.#read(signal), { everyMs: 20_000 });
    this.recent = source((signal) => this.#readRecent(signal), { everyMs: 60_000 });
  }

  async #read(signal) {
    try {
      const { body } = await read("/v1/stock", { sku: this.sku, reservations: this.reservations }, signal);
      this.seq = Math.max(this.seq, body.seq);
      return { body: { rows: body.stock, seq: body.seq, at: body.at, reservations: body.reservations ?? [], next: body.next ?? null, book: body.book ?? null, from: "log" }, behindMs: 0 };
    } catch (problem) {
      if (problem.code === "unknown_sku") return { body: { rows: [], seq: 0, at: null, reservations: [], next: null, book: null, from: "log" }, behindMs: 0 };
      if (!answersFromView(problem)) throw problem;
      const { body, behindMs } = await read("/v1/availability", { sku: this.sku }, signal).catch(() => {
        throw problem;
      });
      const [item] = body.items;
      return { body: { rows: item.stock, seq: item.seq, at: item.at, reservations: null, next: null, book: null, from: "view", problem }, behindMs };
    }
  }

  /** Read on in the list of reservations: first as many as one query lists, and then those after them. */
  async readOn(after) {
    if (this.reservations < MOST_RESERVATIONS) {
      this.reservations = MOST_RESERVATIONS;
      await this.stock.again();
      return null;
    }
    const { body } = await read("/v1/stock", { sku: this.sku, reservations: MOST_RESERVATIONS, after });
    return { reservations: body.reservations ?? [], next: body.next ?? null };
  }

  async #readRecent(signal) {
    const { body, behindMs } = await read("/v1/stock-changes/recent", { sku: this.sku, limit: RECENT }, signal);
    for (const change of body.items) this.#note(change);
    return { body: { fromAt: body.from_at }, behindMs };
  }

  #note(change) {
    const place = this.changes.findLastIndex((known) => known.seq <= change.seq);
    if (place >= 0 && this.changes[place].seq === change.seq) return false;
    this.changes.splice(place + 1, 0, change);
    if (this.changes.length > RECENT * 2) this.changes.shift();
    return true;
  }

  #take(change) {
    if (!this.#note(change)) return;
    const { data } = this.stock;
    if (data !== null && change.seq > data.seq) {
      const rows = change.book === undefined ? this.#with(data.rows, change) : data.rows;
      this.stock.push({ ...data, rows, seq: change.seq, at: change.at });
    }
    if (this.recent.data !== null) this.recent.push(this.recent.data);
    this.#refreshSoon();
  }

  #with(rows, change) {
    const row = { warehouse: change.warehouse, ...change.after };
    const others = rows.filter((known) => known.warehouse !== change.warehouse);
    return [...others, row].sort((one, other) => (one.warehouse < other.warehouse ? -1 : 1));
  }

  // Reservations are not in the stream: they are asked for when it has been quiet, and at most every few seconds.
  #refreshSoon() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.stock.again();
      this.onQuiet?.();
    }, QUIET_MS);
  }

  /** Follow the changes; the returned function ends it. */
  follow(changed) {
    const stream = follow(address("/v1/stock-changes", { sku: this.sku }), {
      silentMs: SILENT_MS,
      onOpen: () => {
        this.isFollowing = true;
        changed();
        this.recent.again(); // what happened while the stream was away
      },
      onEvent: ({ type, data }) => {
        if (type === "stock-change" && data) this.#take(JSON.parse(data));
        if (type === "gap" || type === "dropped") this.#refreshSoon();
      },
      onLost: (problem) => {
        this.isFollowing = false;
        this.lost = problem;
        changed();
      },
    });
    return () => {
      clearTimeout(this.timer);
      stream.stop();
    };
  }
}
