"""Owns the page at `/docs`: it shows the OpenAPI document and loads nothing from other servers."""

PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Holdfast API</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; --line: #8884; --soft: #8881; --get: #1a7f5a; --post: #8a4b08; }
  body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1.5rem; }
  h1 { margin: 0; } h2 { margin: 2rem 0 .5rem; text-transform: capitalize; }
  code, pre { font-family: ui-monospace, monospace; font-size: 13px; }
  details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; }
  summary { cursor: pointer; padding: .5rem .8rem; }
  details > div { border-top: 1px solid var(--line); padding: .6rem .8rem; overflow-x: auto; }
  .method { display: inline-block; font-weight: 700; width: 3.6rem; }
  .get { color: var(--get); } .post { color: var(--post); } .what { opacity: .75; margin-left: .8rem; }
  table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .25rem .6rem .25rem 0;
  vertical-align: top; border-bottom: 1px solid var(--line); }
  pre { background: var(--soft); padding: .6rem; border-radius: 6px; overflow-x: auto; }
</style>
</head>
<body>
<h1>Holdfast API</h1>
<p id="about"></p>
<main id="main">Loading <a href="openapi.json">openapi.json</a> ...</main>
<script>
const make = (tag, text, kind) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (kind) node.className = kind;
  return node;
};
const fold = (title, fill) => {
  const box = make('details'), inner = make('div');
  box.append(title, inner);
  box.addEventListener('toggle', () => { if (!inner.childNodes.length) fill(inner); }, { once: true });
  return box;
};
const table = (heads, rows) => {
  const all = make('table'), first = make('tr');
  heads.forEach(head => first.append(make('th', head)));
  all.append(first);
  rows.forEach(cells => {
    const row = make('tr');
    cells.forEach(cell => { const td = make('td'); td.append(cell); row.append(td); });
    all.append(row);
  });
  return all;
};
const nameOf = content => Object.entries(content || {}).map(([media, body]) => {
  const ref = body.schema && body.schema.$ref;
  if (!ref) return make('code', media);
  const link = make('a', ref.split('/').pop());
  link.href = '#schema-' + link.textContent;
  link.onclick = () => { document.getElementById(link.hash.slice(1)).open = true; };
  return link;
})[0] || make('span', '');
const operation = (method, path, spec) => {
  const title = make('summary');
  title.append(make('span', method.toUpperCase(), 'method ' + method), make('code', path),
    make('span', spec.summary, 'what'));
  return fold(title, inner => {
    if (spec.parameters.length) inner.append(make('h4', 'Parameters'), table(['name', 'in', ''],
      spec.parameters.map(p => [make('code', p.name + (p.required ? ' *' : '')), p.in, p.description])));
    if (spec.requestBody) inner.append(make('h4', 'Body'), nameOf(spec.requestBody.content));
    inner.append(make('h4', 'Answers'), table(['status', '', 'document'],
      Object.entries(spec.responses).map(([s, r]) => [make('code', s), r.description, nameOf(r.content)])));
  });
};
fetch('openapi.json').then(answer => answer.json()).then(doc => {
  document.getElementById('about').textContent = doc.info.description + ' Version ' + doc.info.version + '.';
  const main = document.getElementById('main');
  main.textContent = '';
  doc.tags.forEach(tag => {
    main.append(make('h2', tag.name));
    Object.entries(doc.paths).forEach(([path, methods]) => Object.entries(methods).forEach(([method, spec]) => {
      if (spec.tags.includes(tag.name)) main.append(operation(method, path, spec));
    }));
  });
  main.append(make('h2', 'documents'));
  Object.entries(doc.components.schemas).forEach(([name, schema]) => {
    const box = fold(make('summary', name), inner => inner.append(make('pre', JSON.stringify(schema, null, 2))));
    box.id = 'schema-' + name;
    main.append(box);
  });
}).catch(error => { document.getElementById('main').textContent = 'openapi.json cannot be shown: ' + error; });
</script>
</body>
</html>
"""
