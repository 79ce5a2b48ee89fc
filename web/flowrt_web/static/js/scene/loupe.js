// The surroundings of a point, enlarged, while it is moved: a finger hides what lies below it.
import { html, useEffect, useRef } from "../lib.js";

const SIZE = 132;
const TIMES = 6;

export function Loupe({ at, canvas, picture, left }) {
  const own = useRef(null);
  useEffect(() => {
    const source = canvas.current;
    if (!at || !source) return;
    const context = own.current.getContext("2d");
    const scale = source.width / picture[0];
    const width = (SIZE / TIMES) * scale;
    context.imageSmoothingEnabled = false;
    context.fillStyle = "#000";
    context.fillRect(0, 0, SIZE, SIZE);
    context.drawImage(source, at[0] * scale - width / 2, at[1] * scale - width / 2, width, width, 0, 0, SIZE, SIZE);
    context.strokeStyle = "#ffffff";
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(SIZE / 2, 0); context.lineTo(SIZE / 2, SIZE); context.moveTo(0, SIZE / 2); context.lineTo(SIZE, SIZE / 2);
    context.stroke();
  }, [at?.[0], at?.[1]]);
  if (!at) return null;
  return html`<div class=${`loupe ${left ? "left" : ""}`} aria-hidden="true"><canvas ref=${own} width=${SIZE} height=${SIZE} />
    <span class="mono">${at[0].toFixed(1)}, ${at[1].toFixed(1)}</span></div>`;
}
