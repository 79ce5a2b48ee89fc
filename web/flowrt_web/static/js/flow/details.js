// Everything about one node, beside the graph.
import { html, useEffect, useState } from "../lib.js";
import { get } from "../api.js";
import { compact, dayAndTime, millis, rate } from "../format.js";
import { say, words } from "../words.js";

export function Details({ name, figures, onClose }) {
  const [about, setAbout] = useState(null);
  const errors = figures?.nodes[name]?.errors ?? 0;
  useEffect(() => {
    let wanted = true;
    get(`/api/page/nodes/${encodeURIComponent(name)}`).then((answer) => wanted && setAbout(answer), () => wanted && setAbout(null));
    return () => { wanted = false; };
  }, [name, errors, figures?.generation]);
  const row = figures?.nodes[name];
  return html`<aside class="panel side" aria-label=${name}>
    <header><h2>${name}</h2><button class="plain" onClick=${onClose} aria-label=${words.app.close}>✕</button></header>
    <div class="body scrolls">
      ${about && html`<p>${about.summary}</p><p class="quiet mono">${about.type} · ${say(words.node.place, about.place)}</p>`}
      ${row && html`<${Statistics} row=${row} />`}
      ${about && html`<${Settings} settings=${about.settings} />`}
      ${row?.status && Object.keys(row.status).length > 0 && html`<h3>${words.node.status}</h3><pre class="code">${text(row.status)}</pre>`}
      <h3>${words.node.faults}</h3>
      ${about?.faults.length ? about.faults.map((fault) => html`<${Fault} fault=${fault} />`) : html`<p class="quiet">${words.node.noFaults}</p>`}
      ${about && html`<details><summary>${say(words.node.documentation, { type: about.type })}</summary>
        <pre class="code">${about.documentation}</pre></details>`}
    </div>
  </aside>`;
}

function Statistics({ row }) {
  const columns = words.flow.columns;
  const facts = [
    [columns.rate, rate(row.rate_per_s)], [columns.in, compact(row.in)], [columns.out, compact(row.out)],
    [columns.dropped, compact(row.dropped)], [columns.errors, compact(row.errors)],
    [columns.p50, millis(row.process_ms?.p50)], [columns.p99, millis(row.process_ms?.p99)],
  ];
  return html`<h3>${words.node.statistics}</h3><dl class="facts">
    ${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd class="num">${value}</dd></div>`)}</dl>`;
}

function Settings({ settings }) {
  const rows = Object.entries(settings);
  return html`<h3>${words.node.settings}</h3>
    ${rows.length ? html`<table><tbody>${rows.map(([name, value]) => html`<tr><td class="mono">${name}</td>
      <td class="mono value">${typeof value === "string" ? value : JSON.stringify(value)}</td></tr>`)}</tbody></table>`
    : html`<p class="quiet">${words.node.noSettings}</p>`}`;
}

function Fault({ fault }) {
  return html`<details class="fault"><summary><span class="bad">${fault.error}</span> <span class="quiet">${fault.file}:${fault.line} · ${compact(fault.count)}× · ${dayAndTime(fault.time_s)}</span></summary>
    <pre class="code">${fault.traceback}</pre></details>`;
}

const text = (value) => JSON.stringify(value, null, 1).replace(/^[{[]\n|\n[}\]]$|"/g, "");
