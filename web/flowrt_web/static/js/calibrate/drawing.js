// The picture with the pairs on it: numbered points, arrows to where the fit puts them, a grid on the road, the map of the error.
import { html, useEffect, useRef, useState } from "../lib.js";
import { Loupe } from "../scene/loupe.js";
import { round } from "../scene/snap.js";
import { words } from "../words.js";
import { useZoom, ZoomTools } from "../zoom.js";

const ARROW = 8; // residuals are drawn so many times as long as they are

export function Drawing({ picture, url, pairs, history, fit, shown, selected, select, held, onHeld, tool }) {
  const [width, height] = picture;
  const drag = useRef(null);
  const down = useRef(null);
  const surface = useRef(null);
  const [at, setAt] = useState(null);
  const zoom = useZoom({ width, height }, { least: 0.7, mayPan: () => !drag.current });
  const unit = zoom.pixel;
  useEffect(() => { // the loupe looks into a canvas
    if (!url) return;
    const image = new Image();
    image.onload = () => {
      const canvas = surface.current;
      if (!canvas) return;
      [canvas.width, canvas.height] = [image.width, image.height];
      canvas.getContext("2d").drawImage(image, 0, 0);
    };
    image.src = url;
  }, [url]);
  const point = (event) => {
    const { x, y } = zoom.at(event);
    return [round(Math.min(Math.max(x, 0), width)), round(Math.min(Math.max(y, 0), height))];
  };
  const grab = (event, what) => {
    event.stopPropagation();
    down.current = null;
    event.currentTarget.ownerSVGElement.setPointerCapture(event.pointerId);
    drag.current = { ...what, pointer: event.pointerId };
    if (what.kind === "pair") history.begin();
  };
  const move = (event) => {
    const now = drag.current;
    if (!now || now.pointer !== event.pointerId) return zoom.handlers.onPointerMove(event);
    const to = point(event);
    setAt(to);
    if (now.kind === "held") onHeld(held.map((p, i) => (i === now.index ? to : p)));
    else history.drag((old) => old.map((pair, i) => (i === now.index ? { ...pair, image: to } : pair)));
    return undefined;
  };
  const up = (event) => {
    zoom.handlers.onPointerUp(event);
    if (drag.current?.pointer === event.pointerId) {
      if (drag.current.kind === "pair") history.end();
      drag.current = null;
    }
    setAt(null);
  };
  const press = (event) => {
    down.current = { x: event.clientX, y: event.clientY };
    zoom.handlers.onPointerDown(event);
  };
  const click = (event) => {
    if (!down.current || Math.hypot(event.clientX - down.current.x, event.clientY - down.current.y) > 4) return;
    const to = point(event);
    if (tool === "held") onHeld(held.length > 1 ? [to] : [...held, to]);
    else if (tool === "add") {
      history.set((old) => [...old, { image: to, ground: [null, null] }]);
      select(pairs.length);
    }
  };
  const percent = (value) => `${value * 100}%`;
  const style = {
    left: percent(-zoom.view.x / zoom.view.width), top: percent(-zoom.view.y / zoom.view.height),
    width: percent(width / zoom.view.width), height: percent(height / zoom.view.height),
  };
  const edge = at && (at[0] - zoom.view.x) / zoom.view.width;
  return html`<div class=${`drawing ${tool === "select" ? "select" : "adds"}`}>
    <canvas class="backdrop" ref=${surface} style=${style} aria-hidden="true" />
    <svg ref=${zoom.ref} viewBox=${zoom.viewBox} role="group" aria-label=${words.scene.drawing} ...${zoom.handlers}
        onPointerDown=${press} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onClick=${click}>
      <rect class="frame" width=${width} height=${height} stroke-width=${unit} />
      ${shown.map && fit?.good && fit.lattice.map(([x, y, share]) => share !== null && html`<circle class="share" cx=${x} cy=${y} r=${width / 60} fill=${shade(share)} />`)}
      ${shown.grid && fit?.good && fit.grid.map((line) => html`<polyline class="grid" points=${line.map((p) => p.join(",")).join(" ")} stroke-width=${unit} />`)}
      ${held.length > 0 && html`<g class="held">${held.length > 1 && html`<line x1=${held[0][0]} y1=${held[0][1]} x2=${held[1][0]} y2=${held[1][1]} stroke-width=${2 * unit} />`}
        ${held.map(([x, y], i) => html`<g onPointerDown=${(event) => grab(event, { kind: "held", index: i })}><circle class="touch" cx=${x} cy=${y} r=${14 * unit} />
          <circle cx=${x} cy=${y} r=${5 * unit} stroke-width=${unit} /></g>`)}</g>`}
      ${pairs.map(({ image: [x, y] }, i) => {
        const judged = fit?.good ? fit.points[i] : null;
        const fitted = judged?.fitted_px;
        return html`<g class=${`pair ${judged && !judged.used ? "outlier" : ""} ${selected === i ? "selected" : ""}`} role="button" tabindex="0"
            aria-label=${`${words.calibrate.point} ${i + 1}`} onFocus=${() => select(i)}
            onPointerDown=${(event) => { select(i); grab(event, { kind: "pair", index: i }); }}>
          ${fitted && html`<line x1=${x} y1=${y} x2=${x + (fitted[0] - x) * ARROW} y2=${y + (fitted[1] - y) * ARROW} stroke-width=${2 * unit} />`}
          <circle class="touch" cx=${x} cy=${y} r=${14 * unit} />
          <circle cx=${x} cy=${y} r=${6 * unit} stroke-width=${1.5 * unit} data-test=${`pair-${i}`} />
          <text x=${x + 11 * unit} y=${y - 8 * unit} font-size=${12 * unit} stroke-width=${3 * unit}>${i + 1}</text></g>`;
      })}
    </svg>
    <${Loupe} at=${at} canvas=${surface} picture=${picture} left=${edge > 0.5} />
    <${ZoomTools} zoom=${zoom} />
  </div>`;
}

// Green up to 1 %, red from 8 % on.
function shade(share) {
  const hue = Math.max(0, Math.min(1, 1 - (share - 0.01) / 0.07)) * 130;
  return `hsl(${hue.toFixed(0)} 80% 50% / 0.38)`;
}
