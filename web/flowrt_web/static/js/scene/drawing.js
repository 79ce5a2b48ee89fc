// The shapes over the picture: seen, chosen, dragged, drawn. Everything is in pixels of the picture.
import { html, useRef, useState } from "../lib.js";
import { lampColour, lineColour, zoneColour } from "../colours.js";
import { say, words } from "../words.js";
import { useZoom, ZoomTools } from "../zoom.js";
import { Backdrop } from "./backdrop.js";
import { Loupe } from "./loupe.js";
import { changed, isLamp, isZone, kindOf, LENSES, middle, nameOf } from "./model.js";
import { nearest, round, snapped } from "./snap.js";

const REACH = 9; // screen pixels within which a point catches, or a handle is hit
const ARROW = 44;

export function Drawing({ camera, picture, history, selection, select, tool, onDrawn, frozen, snap, wrong, surface }) {
  const [width, height] = picture;
  const zoom = useZoom({ width, height }, { least: 0.7, mayPan: () => !drag.current });
  const drag = useRef(null);
  const down = useRef(null);
  const [pointing, setPointing] = useState(null); // where the loupe looks
  const [drawn, setDrawn] = useState([]);
  const shapes = history.now;
  const unit = zoom.pixel;
  const chosen = shapes.find((shape) => shape.id === selection?.id);

  const caught = (event, except) => {
    const { x, y } = zoom.at(event);
    if (!snap || event.altKey) return { at: [round(x), round(y)], caught: false };
    return snapped([x, y], shapes, except, REACH * unit, picture);
  };
  const start = (event, what) => {
    if (event.button > 0) return;
    event.stopPropagation();
    event.currentTarget.ownerSVGElement.setPointerCapture(event.pointerId);
    down.current = null; // the click that follows belongs to what was grabbed
    drag.current = { ...what, pointer: event.pointerId, from: zoom.at(event) };
    history.begin();
  };
  const move = (event) => {
    if (tool !== "select" && drawn.length) setPointing({ at: caught(event).at, touch: event.pointerType !== "mouse" });
    const now = drag.current;
    if (!now || now.pointer !== event.pointerId) return zoom.handlers.onPointerMove(event);
    if (zoom.pinching()) return undefined;
    const { x, y } = zoom.at(event);
    if (now.kind === "point") {
      const { at } = caught(event, { id: now.id, index: now.index });
      setPointing({ at });
      history.drag((old) => changed(old, now.id, ({ points }) => ({ points: points.map((p, i) => (i === now.index ? at : p)) })));
    } else if (now.kind === "shape") {
      const [dx, dy] = [x - now.from.x, y - now.from.y];
      history.drag((old) => changed(old, now.id, (shape) => moved(shape, dx, dy)));
    } else if (now.kind === "lens") {
      const at = [round(x), round(y)];
      setPointing({ at });
      history.drag((old) => changed(old, now.id, ({ props }) => ({ props: { ...props, [now.lens]: [...at, props[now.lens][2]] } })));
    } else if (now.kind === "heading") {
      history.drag((old) => changed(old, now.id, ({ points, props }) => {
        const [cx, cy] = middle(points);
        const length = Math.hypot(x - cx, y - cy);
        if (length < 2 * unit) return {};
        return { props: { ...props, heading: [(x - cx) / length, (y - cy) / length].map((v) => Math.round(v * 1000) / 1000) } };
      }));
    }
    return undefined;
  };
  const up = (event) => {
    zoom.handlers.onPointerUp(event);
    if (drag.current?.pointer === event.pointerId) {
      drag.current = null;
      history.end();
    }
    if (tool === "select") setPointing(null);
  };
  const press = (event) => {
    down.current = { x: event.clientX, y: event.clientY };
    zoom.handlers.onPointerDown(event);
  };
  const click = (event) => {
    const still = down.current && Math.hypot(event.clientX - down.current.x, event.clientY - down.current.y) < 5;
    if (!still) return;
    if (tool === "select") return select(null);
    const { at } = caught(event);
    const lamp = tool === "lamps";
    const line = tool === "lines" || tool === "stop_line";
    const closes = drawn.length > 2 && Math.hypot(drawn[0][0] - at[0], drawn[0][1] - at[1]) < REACH * unit * 1.5;
    const points = closes ? drawn : [...drawn, at];
    const done = lamp || closes || (line && points.length === 2);
    setDrawn(done ? [] : points);
    setPointing(done ? null : { at });
    if (done) onDrawn(tool, points);
  };
  const keys = (event) => {
    if (event.key === "Escape" && drawn.length) setDrawn([]);
    else if (event.key === "Enter" && drawn.length > 2) {
      onDrawn(tool, drawn);
      setDrawn([]);
    } else if (event.key === "Backspace" && drawn.length) setDrawn(drawn.slice(0, -1));
    else return;
    event.stopPropagation();
    event.preventDefault();
    setPointing(null);
  };
  const focused = pointing && (drag.current || tool !== "select") ? pointing.at : null;
  const edge = focused && (focused[0] - zoom.view.x) / zoom.view.width;
  return html`<div class=${`drawing ${tool}`} onKeyDown=${keys}>
    <${Backdrop} camera=${camera} picture=${picture} view=${zoom.view} frozen=${frozen} canvas=${surface} />
    <svg ref=${zoom.ref} viewBox=${zoom.viewBox} tabindex="0" role="group" aria-label=${words.scene.drawing} ...${zoom.handlers}
        onPointerDown=${press} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onClick=${click}>
      <rect class="frame" width=${width} height=${height} stroke-width=${unit} />
      ${shapes.map((shape) => html`<${Shape} key=${shape.id} shape=${shape} unit=${unit} selected=${shape.id === selection?.id}
        wrong=${wrong.has(shape.id)} passive=${tool !== "select"} onSelect=${() => select({ id: shape.id, index: null })}
        onDrag=${(event, what) => start(event, { id: shape.id, ...what })} />`)}
      ${chosen && tool === "select" && html`<${Handles} shape=${chosen} unit=${unit} index=${selection.index}
        onPoint=${(event, index) => { select({ id: chosen.id, index }); start(event, { kind: "point", id: chosen.id, index }); }}
        onBetween=${(event, index, at) => {
          start(event, { kind: "point", id: chosen.id, index });
          history.drag((old) => changed(old, chosen.id, ({ points }) => ({ points: [...points.slice(0, index), at, ...points.slice(index)] })));
          select({ id: chosen.id, index });
        }}
        onHeading=${(event) => start(event, { kind: "heading", id: chosen.id })} />`}
      ${drawn.length > 0 && html`<polyline class="being-drawn" stroke-width=${2 * unit}
        points=${[...drawn, ...(pointing ? [pointing.at] : [])].map((p) => p.join(",")).join(" ")} />
        ${drawn.map(([x, y], i) => html`<circle class="being-drawn" cx=${x} cy=${y} r=${(i ? 4 : 7) * unit} />`)}`}
    </svg>
    <${Loupe} at=${focused} canvas=${surface} picture=${picture} left=${edge > 0.5} />
    <${ZoomTools} zoom=${zoom} />
  </div>`;
}

export function moved(shape, dx, dy) {
  const shift = ([x, y, ...rest]) => [round(x + dx), round(y + dy), ...rest];
  if (!isLamp(shape)) return { points: shape.points.map(shift) };
  const lenses = LENSES.filter((lens) => shape.props[lens]).map((lens) => [lens, shift(shape.props[lens])]);
  return { props: { ...shape.props, ...Object.fromEntries(lenses) } };
}

function Shape({ shape, unit, selected, wrong, passive, onSelect, onDrag }) {
  const kind = kindOf(shape);
  const classes = `shape ${selected ? "selected" : ""} ${wrong ? "wrong" : ""} ${passive ? "passive" : ""}`;
  const label = say(words.scene.shape, { name: nameOf(shape), kind: words.scene.kinds[kind] ?? kind });
  const grab = {
    onPointerDown: (event) => { if (!passive && selected) onDrag(event, { kind: "shape" }); },
    onClick: (event) => { if (!passive) { event.stopPropagation(); onSelect(); } },
    onFocus: () => !passive && !selected && onSelect(),
    tabindex: passive ? -1 : 0, role: "button", "aria-label": label, "aria-pressed": selected,
  };
  const width = shape.points.length ? Math.max(...shape.points.map(([x]) => x)) - Math.min(...shape.points.map(([x]) => x)) : 0;
  const fits = selected || width / unit > 4.5 * nameOf(shape).length; // names of what is small would cover each other
  const text = (x, y) => fits && html`<text x=${x} y=${y} font-size=${11 * unit} stroke-width=${3 * unit}>${nameOf(shape)}</text>`;
  if (isLamp(shape)) {
    const lenses = LENSES.filter((lens) => shape.props[lens]);
    const [x, y, r] = shape.props[lenses[0]];
    return html`<g class=${classes} ...${grab}>${lenses.map((lens) => html`<circle cx=${shape.props[lens][0]} cy=${shape.props[lens][1]}
      r=${Math.max(shape.props[lens][2], 3 * unit)} stroke=${lampColour(lens)} stroke-width=${2 * unit} fill="transparent"
      onPointerDown=${(event) => { if (selected && !passive) onDrag(event, { kind: "lens", lens }); }} />`)}
      ${selected && text(x + r + 4 * unit, y)}</g>`;
  }
  const points = shape.points.map((p) => p.join(",")).join(" ");
  const colour = isZone(shape) ? zoneColour(kind) : lineColour(kind);
  const [x, y] = middle(shape.points);
  return html`<g class=${classes} ...${grab}>
    ${isZone(shape) ? html`<polygon points=${points} fill=${colour} stroke=${colour} stroke-width=${(selected ? 2.5 : 1.4) * unit} />`
      : html`<polyline class="touch" points=${points} stroke-width=${16 * unit} />
        <polyline points=${points} stroke=${colour} stroke-width=${(selected ? 5 : 3.5) * unit} />`}
    ${text(x, y)}
  </g>`;
}

function Handles({ shape, unit, index, onPoint, onBetween, onHeading }) {
  if (isLamp(shape)) return null;
  const { points } = shape;
  const zone = isZone(shape);
  const [cx, cy] = middle(points);
  const heading = shape.props.heading;
  const tip = heading && [cx + heading[0] * ARROW * unit, cy + heading[1] * ARROW * unit];
  const between = zone ? points.map((p, i) => [i + 1, nearest([(p[0] + points[(i + 1) % points.length][0]) / 2, (p[1] + points[(i + 1) % points.length][1]) / 2], p, points[(i + 1) % points.length])]) : [];
  return html`<g class="handles" onClick=${(event) => event.stopPropagation()}>
    ${between.map(([at, [x, y]]) => html`<g class="between" onPointerDown=${(event) => onBetween(event, at, [round(x), round(y)])}>
      <circle class="touch" cx=${x} cy=${y} r=${12 * unit} /><circle cx=${x} cy=${y} r=${4 * unit} stroke-width=${unit} /></g>`)}
    ${heading && html`<g class="heading" onPointerDown=${onHeading}><line x1=${cx} y1=${cy} x2=${tip[0]} y2=${tip[1]} stroke-width=${3 * unit} />
      <circle class="touch" cx=${tip[0]} cy=${tip[1]} r=${14 * unit} />
      <circle cx=${tip[0]} cy=${tip[1]} r=${6 * unit} data-test="heading" /></g>`}
    ${points.map(([x, y], i) => html`<g class=${`point ${i === index ? "selected" : ""}`} onPointerDown=${(event) => onPoint(event, i)}>
      <circle class="touch" cx=${x} cy=${y} r=${14 * unit} />
      <circle cx=${x} cy=${y} r=${(i === index ? 7 : 5.5) * unit} stroke-width=${1.5 * unit} data-test=${`point-${i}`} />
      ${!zone && html`<text x=${x + 9 * unit} y=${y - 7 * unit} font-size=${11 * unit} stroke-width=${3 * unit}>${i + 1}</text>`}</g>`)}
  </g>`;
}
