// Owns the making and changing of elements. Text goes in as text only: nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "oninput", "onchange", "onsubmit", "onkeydown", "oncancel", "onclose", "ontoggle"];

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (HANDLERS.includes(key)) node[key] = value;
    else if (key === "value" || key === "checked") node[key] = value;
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Return an element; strings among its children become text. */
export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** Return an element of a drawing. */
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const keyOf = (node) => (node.nodeType === 1 ? node.getAttribute("data-key") : null);
const isLike = (old, fresh) => old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh);

/**
 * Make an element's children those given, keeping every node that is still the same: its focus, its selection, its
 * scroll position, what was typed into it and whether it is open. Rows with `data-key` keep their node when they move.
 */
export function show(parent, ...children) {
  const fresh = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  const wanted = fresh.map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
  const keyed = new Map([...parent.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  let next = parent.firstChild;
  for (const child of wanted) {
    const known = keyOf(child) === null ? next : keyed.get(keyOf(child));
    if (known && isLike(known, child)) {
      if (known === next) next = next.nextSibling;
      else parent.insertBefore(known, next);
      patch(known, child);
    } else {
      parent.insertBefore(child, next);
    }
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

function patch(old, fresh) {
  if (old === fresh) return;
  if (old.nodeType !== 1) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !isTheReaders(old, name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !isTheReaders(old, name)) old.setAttribute(name, value);
  }
  for (const handler of HANDLERS) old[handler] = fresh[handler];
  if (!old.hasAttribute("data-own")) show(old, ...fresh.childNodes);
}

// Whether a box is open is for the one who reads to say.
const isTheReaders = (node, attribute) => attribute === "open" && (node.nodeName === "DETAILS" || node.nodeName === "DIALOG");
