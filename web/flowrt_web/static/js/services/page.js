// Broker, database and Grafana: state, latency, what to do; what waits for them; the dashboards.
import { html, useEffect, useState } from "../lib.js";
import { get } from "../api.js";
import { compact, duration, millis } from "../format.js";
import { useFigures } from "../live.js";
import { say, words } from "../words.js";

const EVERY_MS = 5000;
const text = words.services;

export function Page() {
  const figures = useFigures();
  const [answer, setAnswer] = useState(null);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    let wanted = true;
    const ask = () => !document.hidden && get("/api/page/services").then((found) => {
      if (!wanted) return;
      setAnswer(found);
      setFailure("");
    }, (error) => wanted && setFailure(error.message));
    ask();
    const timer = setInterval(ask, EVERY_MS);
    return () => {
      wanted = false;
      clearInterval(timer);
    };
  }, []);
  return html`<main class="page services">
    <h1 class="hidden-label">${words.app.pages.services}</h1>
    ${failure && html`<p class="notice bad" role="alert">${failure}</p>`}
    <div class="cards">${(answer?.services ?? []).map((row) => html`<${Card} row=${row} />`)}</div>
    <section class="panel"><header><h2>${text.backlog}</h2></header><div class="cards body">
      ${Object.entries(figures?.sinks ?? {}).map(([name, sink]) => html`<${Sink} name=${name} sink=${sink} />`)}</div></section>
    <section class="panel"><header><h2>${text.dashboards}</h2></header><ul class="body boards">
      ${(answer?.dashboards ?? []).map(({ title, url }) => html`<li>${url ? html`<a class="button" href=${url} target="_blank" rel="noreferrer">${title}</a>`
        : html`<span class="quiet">${title}</span>`}</li>`)}</ul>
      ${answer && !answer.dashboards.some(({ url }) => url) && html`<p class="quiet body">${text.noGrafana}</p>`}</section>
  </main>`;
}

function Card({ row }) {
  const state = { up: "good", down: "bad", none: "" }[row.state];
  return html`<section class="panel card"><header><h2>${text.kinds[row.kind]}</h2><span class=${`chip ${state}`}>${text.states[row.state]}</span></header>
    <div class="body">
      ${row.address ? html`<p class="mono">${row.address}</p>` : html`<p class="quiet">${text.without[row.kind]}</p>`}
      ${row.latency_ms !== null && html`<p>${say(text.latency, { ms: millis(row.latency_ms) })} <span class="quiet">${row.version}</span></p>`}
      ${row.error && html`<p class="bad">${row.error}</p>`}
    </div></section>`;
}

function Sink({ name, sink }) {
  const state = sink.state === "up" ? "good" : sink.state === "refused" || sink.state === "down" ? "bad" : "warn";
  return html`<div class="sink"><div class="row"><strong>${name}</strong><span class=${`chip ${state}`}>${sink.state}</span></div>
    <p>${say(text.waits, { count: compact(sink.pending) })}${sink.pending > 0 ? ` · ${say(text.since, { time: duration(sink.oldest_s) })}` : ""}
      ${sink.dead_letters > 0 && html`<span class="bad"> · ${say(text.dead, { count: compact(sink.dead_letters) })}</span>`}</p>
    ${sink.last_error && html`<p class="quiet">${sink.last_error}</p>`}</div>`;
}
