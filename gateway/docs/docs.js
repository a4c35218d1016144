// Shows /openapi.json in Swagger UI. Nothing is loaded from elsewhere, and the key that a person types in stays in this
// page's memory: it is gone when the page is.

// This release of Swagger UI reads OpenAPI 3.0: what 3.1 writes as JSON Schema does is put into 3.0's words.
const inOldWords = (node) => {
  if (Array.isArray(node)) {
    return node.map(inOldWords);
  }
  if (node === null || typeof node !== "object") {
    return node;
  }
  const old = {};
  for (const [name, value] of Object.entries(node)) {
    if (name === "const") {
      old.enum = [value];
    } else if (name === "exclusiveMinimum" && typeof value === "number") {
      old.minimum = value;
      old.exclusiveMinimum = true;
    } else if ((name === "anyOf" || name === "oneOf") && Array.isArray(value)) {
      const others = value.filter((each) => each.type !== "null");
      if (others.length < value.length) {
        old.nullable = true;
      }
      if (others.length === 1 && others.length < value.length) {
        Object.assign(old, inOldWords(others[0]));
      } else {
        old[name] = others.map(inOldWords);
      }
    } else {
      old[name] = inOldWords(value);
    }
  }
  return old;
};

const say = (text) => {
  document.getElementById("docs").textContent = text;
};

const show = async () => {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) {
    throw new Error(`it was answered ${answer.status}`);
  }
  const spec = inOldWords(await answer.json());
  spec.openapi = "3.0.3";
  window.ui = window.SwaggerUIBundle({
    spec,
    dom_id: "#docs",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    filter: true,
    validatorUrl: null,
  });
};

show().catch((error) => say(`/openapi.json cannot be shown: ${error.message}`));
