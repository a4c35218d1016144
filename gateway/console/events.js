// Owns the reading of server-sent events from pieces of text, as the standard has it.

/** Takes the text of a stream piece by piece and gives the events that are complete. */
export class Events {
  #rest = "";
  #event = { type: "", data: [], id: null };

  /** Return the events that end in this piece, each with `type`, `data` and `id` (null when it has none). */
  take(piece) {
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    const events = [];
    for (const line of lines) {
      if (line === "") {
        const { type, data, id } = this.#event;
        if (data.length || id !== null) events.push({ type: type || "message", data: data.join("\n"), id });
        this.#event = { type: "", data: [], id: null };
      } else {
        this.#line(line);
      }
    }
    return events;
  }

  #line(line) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event.type = value;
    if (field === "data") this.#event.data.push(value);
    if (field === "id") this.#event.id = value;
  }
}
