// One camera: each picture is decoded, drawn with its own boxes, then confirmed, so that the next one is the newest there is.
import { html, useEffect, useRef, useState } from "../lib.js";
import { live } from "../live.js";
import { say, words } from "../words.js";
import { Overlay } from "./overlay.js";

const WIDEST = 1280;
const RATE_S = 2;

export function View({ camera, scene, shown, large, children }) {
  const canvas = useRef(null);
  const frame = useRef(null);
  const now = useRef({});
  now.current = { scene, shown };
  const [facts, setFacts] = useState({ fps: 0, delay: null });
  const [width, setWidth] = useState(0);

  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      const wanted = Math.min(WIDEST, Math.ceil((entry.contentRect.width * Math.min(devicePixelRatio, 2)) / 160) * 160);
      if (wanted) setWidth(wanted);
    });
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    if (!width) return undefined;
    const overlay = new Overlay();
    const arrivals = [];
    let ended = false;
    let sentDelay = 0;
    const ends = [
      live.on("delay", (message) => { if (message.camera === camera.name) sentDelay = message.ms; }),
      live.listenToNews(({ message }) => {
        if (!message.camera_id || message.camera_id === camera.name) overlay.note(message);
      }),
      live.on("picture", async ({ header, jpeg, drawn }) => {
        if (header.camera !== camera.name) return;
        const arrived = performance.now();
        const image = await createImageBitmap(jpeg);
        if (!ended) {
          overlay.draw(canvas.current.getContext("2d"), image, header, now.current.scene, now.current.shown);
          canvas.current.dataset.number = header.number;
          arrivals.push(arrived);
          while (arrived - arrivals[0] > RATE_S * 1000) arrivals.shift();
          setFacts({ fps: arrivals.length / RATE_S, delay: sentDelay + performance.now() - arrived });
        }
        image.close();
        drawn();
      }),
      live.watchCamera(camera.name, width),
    ];
    return () => {
      ended = true;
      for (const end of ends) end();
    };
  }, [camera.name, width]);

  return html`<figure class=${`camera ${large ? "large" : ""}`} ref=${frame}>
    <canvas ref=${canvas} width="16" height="9" role="img" aria-label=${say(words.cameras.picture, { name: camera.name })} />
    <figcaption>
      <a href=${large ? "#/cameras" : `#/cameras/${camera.name}`}>${camera.name}</a>
      <span class="quiet">${camera.position}</span>
      <span class="num quiet" data-test="facts">${facts.delay === null ? words.cameras.waiting
        : say(words.cameras.facts, { fps: facts.fps.toFixed(0), delay: Math.max(0, facts.delay).toFixed(0) })}</span>
      ${children}
    </figcaption>
  </figure>`;
}
