// Small line drawings for the navigation.
import { html } from "./lib.js";

const PATHS = {
  flow: "M4 6h5v4H4zM15 4h5v4h-5zM15 16h5v4h-5zM9 8h3v-2h3M12 8v10h3",
  cameras: "M3 7h12v10H3zM15 11l6-3v8l-6-3",
  scene: "M5 5l14 3-3 11-9-3zM5 5h.01M19 8h.01M16 19h.01M7 16h.01",
  calibrate: "M4 20L20 4M4 20h16V4M8 20v-3M12 20v-4M16 20v-3",
  events: "M12 4l9 16H3zM12 10v4M12 17h.01",
  services: "M4 5h16v5H4zM4 14h16v5H4zM7 7.500h.01M7 16.500h.01",
};

export function Icon({ name }) {
  return html`<svg viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
