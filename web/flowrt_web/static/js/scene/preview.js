// What the last minutes would have given under the draft: how many more or fewer of what, each with its picture.
import { html, useState } from "../lib.js";
import { post } from "../api.js";
import { clock, duration } from "../format.js";
import { say, words } from "../words.js";

const text = words.preview;

export function Preview({ scene, source, wanted, picture, disabled }) {
  const [found, setFound] = useState(null);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const ask = async () => {
    setBusy(true);
    setFailure("");
    try {
      setFound(await post("/api/page/preview", { scene, hash: source.hash, operations: wanted }));
    } catch (error) {
      setFound(null);
      setFailure(error.message);
    }
    setBusy(false);
  };
  return html`<section class="panel" aria-label=${text.title}><header><h2>${text.title}</h2>
      <button onClick=${ask} disabled=${disabled || busy}>${busy ? text.running : text.run}</button></header>
    <div class="body list">
      ${failure && html`<p class="notice warn" role="alert">${failure}</p>`}
      ${!found && !failure && html`<p class="quiet">${text.help}</p>`}
      ${found && html`<p data-test="preview"><strong>${summary(found)}</strong> <span class="quiet">${say(text.of, { time: duration(found.seconds) })}</span></p>
        ${found.came.map((event) => html`<${Found} event=${event} sign="+" picture=${picture} />`)}
        ${found.went.map((event) => html`<${Found} event=${event} sign="−" picture=${picture} />`)}`}
    </div></section>`;
}

function summary({ kinds }) {
  const parts = Object.entries(kinds).map(([kind, count]) => `${count > 0 ? "+" : "−"}${Math.abs(count)} ${kind.replaceAll("_", " ")}`);
  return parts.join(", ") || text.same;
}

function Found({ event, sign, picture }) {
  const address = `/api/page/seen/${encodeURIComponent(event.camera)}?time=${event.time_s}`;
  const box = event.box;
  return html`<figure class="found"><svg viewBox=${`0 0 ${picture[0]} ${picture[1]}`} role="img" aria-label=${event.kind}>
      <image href=${address} width=${picture[0]} height=${picture[1]} />
      ${box && html`<rect x=${box[0]} y=${box[1]} width=${box[2] - box[0]} height=${box[3] - box[1]} />`}</svg>
    <figcaption><span class=${sign === "+" ? "good" : "bad"}>${sign} ${event.kind.replaceAll("_", " ")}</span>
      <span class="quiet">${event.user} ${event.roi} ${clock(event.time_s)}</span></figcaption></figure>`;
}
