// Owns the course of a SKU's stock: what each change left behind, and what was there before the first one that is known.

const FIELDS = ["on_hand", "reserved", "damaged", "safety_stock", "inbound"];

/** Return a row as it was before a change. */
export function before(change) {
  const row = { warehouse: change.warehouse };
  for (const field of FIELDS) row[field] = change.after[field] - (change.delta[field] ?? 0);
  row.available = row.on_hand - row.reserved - row.safety_stock;
  return row;
}

/** Return the sum of rows; a warehouse below 0 takes nothing from what the others have. */
export function totals(rows) {
  const sum = { on_hand: 0, reserved: 0, damaged: 0, safety_stock: 0, inbound: 0, quarantine: 0, available: 0 };
  for (const row of rows) {
    for (const field of FIELDS) sum[field] += row[field];
    sum.quarantine += row.quarantine ?? 0;
    sum.available += Math.max(0, row.available);
  }
  return sum;
}

/**
 * Return the totals after each change, as `{at, on_hand, reserved, available}`, beginning with those before the first.
 *
 * @param {object[]} changes in the order of `seq`.
 * @param {object[]} rows as they are now.
 * @param {string | null} warehouse only this one; null: all.
 */
export function course(changes, rows, warehouse = null) {
  const ofRows = changes.filter((change) => change.book === undefined && (warehouse === null || change.warehouse === warehouse));
  const state = new Map(rows.filter((row) => warehouse === null || row.warehouse === warehouse).map((row) => [row.warehouse, row]));
  for (const change of ofRows.toReversed()) state.set(change.warehouse, before(change));
  const place = (at) => {
    const point = { at, ...totals(state.values()) };
    // One warehouse alone shows how far it is below 0.
    if (warehouse !== null) point.available = state.get(warehouse)?.available ?? 0;
    return point;
  };
  if (!ofRows.length) return state.size ? [place(-Infinity)] : [];
  const course = [place(-Infinity)];
  for (const change of ofRows) {
    state.set(change.warehouse, { ...change.after, warehouse: change.warehouse });
    course.push(place(change.at));
  }
  return course;
}
