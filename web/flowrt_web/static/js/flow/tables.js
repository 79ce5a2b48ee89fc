// Queues, outboxes, reloads and the problems of the file, below the graph.
import { html } from "../lib.js";
import { clock, compact, duration } from "../format.js";
import { words } from "../words.js";

const { columns, tables } = words.flow;

export function Tables({ figures }) {
  if (!figures) return null;
  return html`<div class="tables">
    <${Problems} problems=${figures.problems} />
    <${Sinks} sinks=${figures.sinks} />
    <${Queues} queues=${figures.queues} />
    <${Reloads} reloads=${figures.reloads} />
  </div>`;
}

function Problems({ problems }) {
  return html`<section class="panel" id="problems"><header><h2>${tables.problems}</h2></header><div class="body">
    ${problems.length === 0 && html`<p class="quiet">${words.flow.noProblems}</p>`}
    ${problems.map((problem) => html`<pre class="code problem">${problem.text}</pre>`)}
  </div></section>`;
}

function Sinks({ sinks }) {
  const rows = Object.entries(sinks);
  return html`<section class="panel"><header><h2>${tables.sinks}</h2></header><div class="scrolls">
    ${rows.length === 0 ? html`<p class="quiet body">${words.flow.noSinks}</p>` : html`<table>
    <thead><tr><th>${columns.sink}</th><th>${columns.state}</th><th class="num">${columns.accepted}</th><th class="num">${columns.delivered}</th>
      <th class="num">${columns.pending}</th><th class="num">${columns.oldest}</th><th class="num">${columns.dead}</th></tr></thead>
    <tbody>${rows.map(([name, row]) => html`<tr title=${row.last_error}><td>${name}</td>
      <td><span class=${`chip ${row.state === "up" ? "good" : row.state === "down" ? "bad" : "warn"}`}>${row.state}</span></td>
      <td class="num">${compact(row.accepted)}</td><td class="num">${compact(row.delivered)}</td>
      <td class=${`num ${row.pending ? "warn" : ""}`}>${compact(row.pending)}</td><td class="num">${row.pending ? duration(row.oldest_s) : ""}</td>
      <td class=${`num ${row.dead_letters ? "bad" : ""}`}>${compact(row.dead_letters)}</td></tr>`)}</tbody></table>`}
  </div></section>`;
}

function Queues({ queues }) {
  const rows = Object.entries(queues);
  return html`<section class="panel"><header><h2>${tables.queues}</h2></header><div class="scrolls">
    ${rows.length === 0 ? html`<p class="quiet body">${words.flow.noQueues}</p>` : html`<table>
    <thead><tr><th>${columns.queue}</th><th>${columns.policy}</th><th class="num">${columns.depth}</th><th class="num">${columns.deepest}</th>
      <th class="num">${columns.dropped}</th></tr></thead>
    <tbody>${rows.map(([name, row]) => html`<tr><td>${name}</td><td class="quiet">${row.policy}</td>
      <td class="num">${row.depth}/${row.size}</td><td class="num">${row.depth_max}</td><td class="num">${compact(row.dropped)}</td></tr>`)}</tbody></table>`}
  </div></section>`;
}

function Reloads({ reloads }) {
  return html`<section class="panel"><header><h2>${tables.reloads}</h2></header><div class="body">
    ${reloads.length === 0 && html`<p class="quiet">${words.flow.noReloads}</p>`}
    ${[...reloads].reverse().map((reload) => html`<details class="reload"><summary>
      <span class=${`chip ${reload.ok ? "good" : "bad"}`}>${reload.ok ? words.flow.inForce : words.flow.refused}</span>
      <span class="quiet">${clock(reload.time_s)}</span> ${reload.message}</summary>
      <pre class="code">${(reload.lines ?? []).join("\n") || reload.reason}</pre></details>`)}
  </div></section>`;
}
