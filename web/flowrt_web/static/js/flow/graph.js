// The graph, with live figures on it. Only what changes is drawn again: the layout is made once for each edit.
import { html, useMemo } from "../lib.js";
import { compact, millis, rate } from "../format.js";
import { perSecond } from "../live.js";
import { say, words } from "../words.js";
import { useZoom, ZoomTools } from "../zoom.js";
import { layout, NODE } from "./layout.js";

const sameEdge = (edge) => (row) =>
  row.source === edge.source && row.target === edge.target && row.field === edge.field && row.port === edge.port;

export function Graph({ flow, figures, selected, onNode, onEdge }) {
  const drawing = useMemo(() => layout(flow), [flow]);
  const zoom = useZoom(drawing, { least: 0.5, readable: 0.6 });
  const chosen = (what) => selected?.kind === what.kind && selected.key === what.key;
  return html`<div class="graph">
    <svg ref=${zoom.ref} viewBox=${zoom.viewBox} role="group" aria-label=${words.flow.graph} ...${zoom.handlers}>
      ${drawing.bands.map((band) => html`<g class="band">
        <rect x=${band.x - band.width / 2} y=${band.y - band.height / 2} width=${band.width} height=${band.height} rx="10" />
        <text x=${band.x - band.width / 2 + 10} y=${band.y - band.height / 2 + 15}>${say(words.flow.lane, { name: band.lane })}</text>
      </g>`)}
      ${drawing.edges.map((edge) => html`<${Wire} key=${edge.key} edge=${edge} figures=${figures}
        selected=${chosen({ kind: "edge", key: edge.key })} onOpen=${() => onEdge(edge)} />`)}
      ${drawing.nodes.map((node) => html`<${Box} key=${node.name} node=${node} figures=${figures}
        selected=${chosen({ kind: "node", key: node.name })} onOpen=${() => onNode(node.name)} />`)}
    </svg>
    <${ZoomTools} zoom=${zoom} />
  </div>`;
}

const opens = (open) => ({
  tabindex: 0, role: "button", onClick: open,
  onKeyDown: (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    open();
  },
});

function Wire({ edge, figures, selected, onOpen }) {
  const row = figures?.edges.find(sameEdge(edge));
  const each = perSecond((sample) => sample.edges.find(sameEdge(edge))?.messages);
  const [flows, drops] = [each > 0, row?.dropped > 0];
  const text = { source: edge.source, target: edge.target, rate: rate(each) };
  return html`<g class=${`wire ${flows ? "flows" : ""} ${edge.side ? "side" : ""} ${selected ? "selected" : ""}`}
      aria-label=${say(words.flow.edge, text)} ...${opens(onOpen)}>
    <path class="touch" d=${edge.path} />
    <path class="seen" d=${edge.path} />
    ${flows && html`<text class="rate" x=${edge.at.x} y=${edge.at.y + 3.5}>${rate(each)}</text>`}
    ${drops && html`<title>${say(words.flow.dropped, { count: row.dropped })}</title>`}
    ${drops && html`<text class="drops" x=${edge.at.x} y=${edge.at.y + 14}>−${compact(row.dropped)}</text>`}
  </g>`;
}

function Box({ node, figures, selected, onOpen }) {
  const row = figures?.nodes[node.name];
  const queue = figures?.queues[node.name];
  const sink = figures?.sinks[node.name];
  const [x, y] = [node.x - NODE.width / 2, node.y - NODE.height / 2];
  const state = row?.failed || sink?.state === "down" ? "bad" : row?.errors > 0 || sink?.pending > 1000 ? "warn" : "good";
  const each = rate(row?.rate_per_s);
  const about = { name: node.name, type: node.type, rate: each, errors: row?.errors ?? 0 };
  return html`<g class=${`box ${node.role} ${selected ? "selected" : ""}`} transform=${`translate(${x} ${y})`}
      aria-label=${say(words.flow.node, about)} ...${opens(onOpen)}>
    <title>${node.about}</title>
    <rect width=${NODE.width} height=${NODE.height} rx="7" />
    <rect class="edge" width="4" height=${NODE.height} rx="2" />
    <circle class=${row ? state : "idle"} cx=${NODE.width - 12} cy="13" r="4" />
    <text class="name" x="12" y="17">${shortened(node.name, 19)}</text>
    <text class="type" x="12" y="30">${shortened(node.type, 25)}</text>
    <text class="facts" x="12" y="43">${each}/s</text>
    <text class="facts" x="62" y="43">${millis(row?.process_ms?.p50)} / ${millis(row?.process_ms?.p99)} ms</text>
    ${row?.errors > 0 && html`<text class="facts bad" x=${NODE.width - 8} y="43" text-anchor="end">${compact(row.errors)} ✕</text>`}
    ${queue && html`<text class="facts" x=${NODE.width - 8} y="30" text-anchor="end">${queue.depth}/${queue.size}</text>`}
    ${sink?.pending > 0 && html`<text class="facts warn" x=${NODE.width - 8} y="30" text-anchor="end">${say(words.flow.waits, { count: compact(sink.pending) })}</text>`}
  </g>`;
}

const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
