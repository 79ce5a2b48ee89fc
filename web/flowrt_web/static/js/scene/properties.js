// What a shape is besides its points.
import { html, useState } from "../lib.js";
import { Typed } from "../typed.js";
import { post } from "../api.js";
import { say, words } from "../words.js";
import { changed, isLamp, isZone, kindOf, nameOf } from "./model.js";

const KINDS = {
  lines: ["stop_line", "entry", "exit", "count"],
  zones: ["lane", "crosswalk", "sidewalk", "carriageway", "box", "conflict", "no_stopping", "intersection", "other"],
};
const WITH = {
  lines: ["kind", "signal", "approach"], stop_line: ["signal", "approach"], lamps: ["signal"],
  lanes: ["heading", "limit_kmh", "signal", "direction"], crosswalk: ["heading", "signal", "direction"],
  crosswalks: ["heading", "signal", "direction"], zones: ["kind", "heading", "limit_kmh", "signal", "direction"],
};

export function Properties({ shape, history, scene, mayEdit, signals, fixed, onRemove }) {
  const set = (key, value) => history.set((shapes) => changed(shapes, shape.id, ({ props }) => {
    const { [key]: _, ...others } = props;
    return { props: value === null || value === "" ? others : { ...others, [key]: value } };
  }));
  const rename = (name) => /^[\p{L}\p{N}_][\p{L}\p{N}_ .-]{0,63}$/u.test(name)
    && history.set((shapes) => changed(shapes, shape.id, () => ({ name })));
  const [seen, setSeen] = useState(null);
  const bySeen = async () => {
    const answer = await post("/api/page/heading", { scene, points: shape.points });
    setSeen(answer);
    if (answer.heading) set("heading", answer.heading);
  };
  const why = fixed[[shape.group, shape.name].filter(Boolean).join(".")];
  const text = words.scene.properties;
  const field = {
    kind: () => html`<label class="field"><span>${text.kind}</span><select value=${kindOf(shape)} onChange=${(event) => set("kind", event.target.value)}>
      ${KINDS[shape.group].map((kind) => html`<option value=${kind}>${words.scene.kinds[kind]}</option>`)}</select></label>`,
    signal: () => html`<label class="field"><span>${text.signal}</span><${Typed} list="signals" value=${shape.props.signal}
      onSet=${(value) => set("signal", value.trim())} /></label>`,
    limit_kmh: () => html`<label class="field"><span>${text.limit_kmh}</span><${Typed} type="number" min="1" max="300" value=${shape.props.limit_kmh}
      onSet=${(value) => set("limit_kmh", value === "" ? null : Number(value))} /></label>`,
    direction: () => html`<label class="field"><span>${text.direction}</span><${Typed} value=${shape.props.direction}
      onSet=${(value) => set("direction", value.trim())} /></label>`,
    approach: () => html`<label class="field"><span>${text.approach}</span><${Typed} value=${shape.props.approach}
      onSet=${(value) => set("approach", value.trim())} /></label>`,
    heading: () => html`<div class="field"><span>${text.heading}</span><div class="row">
      <span class="mono">${shape.props.heading ? shape.props.heading.map((v) => v.toFixed(3)).join(", ") : text.noHeading}</span>
      <button onClick=${() => set("heading", shape.props.heading ? null : [0, 1])}>${shape.props.heading ? text.removeHeading : text.addHeading}</button>
      <button onClick=${bySeen} disabled=${!mayEdit}>${text.bySeen}</button></div>
      ${seen && html`<p class=${seen.heading ? "quiet" : "warn"} role="status">${seen.heading ? say(text.seen, { tracks: seen.tracks, percent: Math.round(seen.agreement * 100) })
        : text.nothingSeen}</p>`}</div>`,
  };
  return html`<section class="panel properties" aria-label=${text.title}>
    <header><h2>${nameOf(shape)}</h2><button class="danger" onClick=${onRemove}>${text.remove}</button></header>
    <div class="body">
      ${why && html`<p class="notice warn">${text.fixed} ${why}</p>`}
      ${shape.name && html`<label class="field"><span>${text.name}</span><${Typed} value=${shape.name} onSet=${(name) => rename(name.trim())} /></label>`}
      ${WITH[shape.group].map((key) => field[key]())}
      <p class="quiet">${isLamp(shape) ? text.lampHelp : isZone(shape) ? text.zoneHelp : text.lineHelp}</p>
      <datalist id="signals">${signals.map((signal) => html`<option value=${signal} />`)}</datalist>
    </div>
  </section>`;
}
