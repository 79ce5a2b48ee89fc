// Zoom and pan of an SVG by its viewBox: wheel, drag, two fingers, keys. Drawn things keep their own coordinates.
import { html, useEffect, useRef, useState } from "./lib.js";
import { words } from "./words.js";

const STEP = 1.25;
const MOST = 40;

export function fitted(size, box, margin = 16) {
  const scale = Math.max(size.width / Math.max(box.width - 2 * margin, 1), size.height / Math.max(box.height - 2 * margin, 1));
  const [width, height] = [box.width * scale, box.height * scale];
  return { x: (size.width - width) / 2, y: (size.height - height) / 2, width, height };
}

// What is too large to be read as a whole is first shown from its upper left, so large that it can be read.
function start(whole, box, readable) {
  if (!readable || box.width / whole.width >= readable) return whole;
  const margin = 12;
  return { x: -margin, y: -margin, width: box.width / readable, height: box.height / readable };
}

export function useZoom(size, { least = 0.2, readable = 0, mayPan = () => true } = {}) {
  const ref = useRef(null);
  const [box, setBox] = useState({ width: 800, height: 500 });
  const [view, setView] = useState(null);
  const fingers = useRef(new Map());
  const whole = fitted(size, box);
  const now = view ?? start(whole, box, readable);

  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      const { width, height } = entry.contentRect;
      if (width && height) setBox({ width, height });
    });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => setView(null), [size.width, size.height]);
  useEffect(() => {
    setView((old) => old && { ...old, height: (old.width * box.height) / box.width });
  }, [box.width, box.height]);

  const at = (event) => {
    const edge = ref.current.getBoundingClientRect();
    return {
      x: now.x + ((event.clientX - edge.left) / edge.width) * now.width,
      y: now.y + ((event.clientY - edge.top) / edge.height) * now.height,
    };
  };
  const zoomed = (from, factor, around) => {
    const scale = Math.min(Math.max(from.width / factor, whole.width / MOST), whole.width / least) / from.width;
    return {
      x: around.x - (around.x - from.x) * scale, y: around.y - (around.y - from.y) * scale,
      width: from.width * scale, height: from.height * scale,
    };
  };
  const zoom = (factor, around = { x: now.x + now.width / 2, y: now.y + now.height / 2 }) => setView(zoomed(now, factor, around));

  useEffect(() => { // as a listener of its own: a wheel event may only be kept from the page by one that is not passive
    const element = ref.current;
    const wheel = (event) => {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), at(event));
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  });

  const handlers = {
    onPointerDown(event) {
      if (fingers.current.size === 0 && !mayPan(event)) return;
      fingers.current.set(event.pointerId, { x: event.clientX, y: event.clientY, moved: false });
    },
    onPointerMove(event) {
      const finger = fingers.current.get(event.pointerId);
      if (!finger) return;
      const [dx, dy] = [event.clientX - finger.x, event.clientY - finger.y];
      if (!finger.moved && Math.hypot(dx, dy) < 4) return;
      if (!finger.moved) ref.current.setPointerCapture(event.pointerId);
      finger.moved = true;
      const edge = ref.current.getBoundingClientRect();
      const others = [...fingers.current.entries()].filter(([id]) => id !== event.pointerId);
      if (others.length === 0) {
        setView({ ...now, x: now.x - (dx / edge.width) * now.width, y: now.y - (dy / edge.height) * now.height });
      } else {
        const other = others[0][1];
        const before = Math.hypot(finger.x - other.x, finger.y - other.y);
        const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
        setView(zoomed(now, after / Math.max(before, 1), at({ clientX: other.x, clientY: other.y })));
      }
      fingers.current.set(event.pointerId, { x: event.clientX, y: event.clientY, moved: true });
    },
    onPointerUp: (event) => fingers.current.delete(event.pointerId),
    onPointerCancel: (event) => fingers.current.delete(event.pointerId),
  };
  const pinching = () => fingers.current.size > 1;
  return {
    ref, box, view: now, viewBox: `${now.x} ${now.y} ${now.width} ${now.height}`, handlers, at, pinching,
    pixel: now.width / box.width, // how much of the drawing a pixel of the screen is
    zoomIn: () => zoom(STEP), zoomOut: () => zoom(1 / STEP), fit: () => setView(whole), zoom,
  };
}

// The buttons of a drawing. zoom: what `useZoom` gave.
export function ZoomTools({ zoom }) {
  return html`<div class="tools">
    <button onClick=${zoom.zoomOut} aria-label=${words.flow.zoomOut}>−</button>
    <button onClick=${zoom.zoomIn} aria-label=${words.flow.zoomIn}>+</button>
    <button onClick=${zoom.fit}>${words.flow.fit}</button>
  </div>`;
}
