// What a fit is worth, in numbers, and the table of its pairs.
import { html } from "../lib.js";
import { Typed } from "../typed.js";
import { say, words } from "../words.js";

const text = words.calibrate;
const fixed = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));

export function Figures({ fit, held, metres, setMetres }) {
  if (!fit) return html`<p class="notice">${text.help}</p>`;
  if (!fit.good) return html`<p class="notice bad" role="alert">${fit.why}</p>`;
  const { camera, check } = fit;
  const facts = [
    [text.rms, fit.exact ? "0" : `${fixed(fit.rms_px, 1)} px · ${fixed(fit.rms_m, 2)} m`],
    [text.most, fit.exact ? "0" : `${fixed(fit.max_px, 1)} px · ${fixed(fit.max_m, 2)} m`],
    [text.height, camera ? `${fixed(camera.height_m, 1)} ± ${fixed(camera.height_sigma_m, 1)} m` : "–"],
    [text.focal, camera ? `${fixed(camera.focal_px, 0)} ± ${fixed(camera.focal_sigma_px, 0)} px` : "–"],
  ];
  return html`<section class="panel" aria-label=${text.worth}><header><h2>${text.worth}</h2></header><div class="body properties-body">
    <dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd class="num">${value}</dd></div>`)}</dl>
    ${fit.exact && html`<p class="notice warn">${text.exact}</p>`}
    ${fit.problems.map((problem) => html`<p class=${`notice ${problem.severity === "error" ? "bad" : "warn"}`}>${problem.message}
      ${problem.hint && html`<span class="quiet"> ${problem.hint}</span>`}</p>`)}
    ${fit.sigmas.length > 0 && html`<p><span class="quiet">${text.speeds}</span> ${fit.sigmas.map(({ lane, sigma }) => html`<span class="share-of">
      ${lane} ±${sigma === null ? "?" : (sigma * 100).toFixed(1)} %</span> `)}</p>`}
    <label class="field"><span>${text.measured}</span><input type="number" min="0.1" step="0.1" value=${metres} onInput=${(event) => setMetres(event.target.value)} /></label>
    ${held.length < 2 ? html`<p class="quiet">${text.heldHelp}</p>` : check && html`<p data-test="held" class=${Math.abs(check.off) > 0.05 ? "warn" : "good"}>
      ${say(text.predicted, { metres: fixed(check.predicted_m, 2), percent: `${check.off >= 0 ? "+" : ""}${(check.off * 100).toFixed(1)}` })}</p>`}
  </div></section>`;
}

export function Pairs({ pairs, history, fit, selected, select }) {
  const set = (i, axis, value) => history.set((old) => old.map((pair, j) => (j !== i ? pair
    : { ...pair, ground: pair.ground.map((each, k) => (k === axis ? (value === "" ? null : Number(value)) : each)) })));
  return html`<section class="panel"><header><h2>${text.pairs}</h2></header><div class="scrolls"><table class="pairs">
    <thead><tr><th>#</th><th>X m</th><th>Y m</th><th class="num">${text.residual}</th><th class="num">${text.leftOut}</th><th></th></tr></thead>
    <tbody>${pairs.map((pair, i) => {
      const judged = fit?.good ? fit.points[i] : null;
      return html`<tr class=${selected === i ? "selected" : ""}>
        <td class=${judged && !judged.used ? "bad" : ""}>${i + 1}</td>
        ${[0, 1].map((axis) => html`<td><${Typed} type="number" step="0.01" value=${pair.ground[axis]} aria-label=${`${"XY"[axis]} ${i + 1}`}
          onFocus=${() => select(i)} onSet=${(value) => set(i, axis, value)} /></td>`)}
        <td class=${`num ${judged && !judged.used ? "bad" : ""}`}>${judged ? `${fixed(judged.residual_px, 1)} px` : ""}</td>
        <td class="num">${judged && judged.held_out_px !== null ? `${fixed(judged.held_out_px, 1)} px` : "–"}</td>
        <td><button class="plain danger" aria-label=${say(text.remove, { number: i + 1 })} onClick=${() => { select(null); history.set((old) => old.filter((_, j) => j !== i)); }}>✕</button></td></tr>`;
    })}</tbody></table></div></section>`;
}
