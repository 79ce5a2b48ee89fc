// The flow page: the graph with live figures, what was clicked beside it, and the tables below.
import { html, useEffect, useState } from "../lib.js";
import { useFigures } from "../live.js";
import { words } from "../words.js";
import { Details } from "./details.js";
import { Graph } from "./graph.js";
import { Tables } from "./tables.js";
import { Tap } from "./tap.js";

export function Page({ flow, rest }) {
  const figures = useFigures();
  const [selected, select] = useState(null);
  const close = () => select(null);
  useEffect(() => {
    const names = flow.nodes.map((node) => node.name);
    if (selected?.kind === "node" && !names.includes(selected.key)) close();
    if (selected?.kind === "edge" && !flow.edges.some((edge) => edge.source === selected.edge.source && edge.target === selected.edge.target)) close();
  }, [flow]);
  useEffect(() => {
    if (rest[0]) document.getElementById(rest[0])?.scrollIntoView({ block: "start" });
  }, [rest[0], Boolean(figures)]);
  return html`<main class="page flow" onKeyDown=${(event) => event.key === "Escape" && close()}>
    <h1 class="hidden-label">${words.app.pages.flow}</h1>
    <div class=${`work ${selected ? "with-side" : ""}`}>
      <section class="panel"><${Graph} flow=${flow} figures=${figures} selected=${selected}
        onNode=${(name) => select({ kind: "node", key: name })} onEdge=${(edge) => select({ kind: "edge", key: edge.key, edge })} />
        <p class="legend quiet">${words.flow.legend}</p></section>
      ${selected?.kind === "node" && html`<${Details} key=${selected.key} name=${selected.key} figures=${figures} onClose=${close} />`}
      ${selected?.kind === "edge" && html`<${Tap} key=${selected.key} edge=${selected.edge} onClose=${close} />`}
    </div>
    <${Tables} figures=${figures} />
  </main>`;
}
