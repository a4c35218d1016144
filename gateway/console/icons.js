// Owns the icons: drawn in lines of the text's own colour, 24 units square.

import { svg } from "./dom.js";

const PATHS = {
  ok: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M8 12.500l2.700 2.700L16 9.800"],
  attention: ["M12 3.500L2.500 20h19z", "M12 10v4.500", "M12 17.300v.2"],
  bad: ["M8 3h8l5 5v8l-5 5H8l-5-5V8z", "M12 7.500v5.500", "M12 16.300v.2"],
  unknown: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M9.500 9.500a2.600 2.600 0 1 1 3.600 2.400c-.8.4-1.100.9-1.100 1.900", "M12 16.800v.2"],
  overview: ["M4 13h6V4H4z", "M14 20h6v-9h-6z", "M4 20h6v-3H4z", "M14 7h6V4h-6z"],
  skus: ["M12 3l8 4.500v9L12 21l-8-4.500v-9z", "M4 7.500l8 4.500 8-4.500", "M12 12v9"],
  shortfalls: ["M3 5v14h18", "M7 9l4 4 3-2 6 6", "M20 12.500V17h-4.500"],
  drift: ["M12 4v16", "M8 20h8", "M5 7h14", "M5 7l-3 7h6z", "M19 7l-3 7h6z"],
  letters: ["M3 6h18v12H3z", "M3 7l9 6.500L21 7"],
  key: ["M8 11a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9z", "M11.500 12.500L20 4", "M16 8l3 3"],
  search: ["M10.500 4a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13z", "M15.500 15.500L20.500 20.500"],
  again: ["M20 11a8 8 0 1 0-1.500 6", "M20 4.500V11h-6.500"],
  stale: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M12 7v5.500l3.500 2"],
  open: ["M5 12.500l4.500 4.500L19 7.500"],
  recovering: ["M12 3a9 9 0 1 0 9 9", "M12 3v0", "M12 8v4.500l3 2"],
  stopped: ["M6 6h12v12H6z"],
  back: ["M11 5l-7 7 7 7", "M4 12h16"],
  forward: ["M9 5l7 7-7 7"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  live: ["M12 10.500a1.500 1.500 0 1 0 0 3 1.500 1.500 0 0 0 0-3z", "M7.500 16.500a6.500 6.500 0 0 1 0-9", "M16.500 7.500a6.500 6.500 0 0 1 0 9"],
};

/** Return an icon. It says nothing by itself: the word stands beside it. */
export function icon(name, kind = "") {
  const paths = PATHS[name].map((d) => svg("path", { d }));
  return svg("svg", { class: `icon ${kind}`, viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, paths);
}
