// The cameras page: live pictures, with what is drawn over them, and the violations as they happen.
import { html, useEffect, useState } from "../lib.js";
import { get } from "../api.js";
import { clock } from "../format.js";
import { live, useFigures } from "../live.js";
import { words } from "../words.js";
import { View } from "./view.js";

const ALL = ["boxes", "labels", "footprints", "trails", "zones", "lines", "signals", "violations"];
const AT_FIRST = ["boxes", "labels", "trails", "zones", "lines", "signals", "violations"];
const KEPT = 30;
const STORED = "flowrt overlays";

function stored() {
  try {
    return JSON.parse(localStorage.getItem(STORED)) ?? AT_FIRST;
  } catch {
    return AT_FIRST;
  }
}

export function Page({ flow, rest }) {
  const figures = useFigures();
  const [scenes, setScenes] = useState({});
  const [names, setNames] = useState(stored());
  const [violations, setViolations] = useState([]);
  useEffect(() => {
    get("/api/page/scenes").then((answer) => setScenes(answer.scenes), () => {});
  }, [figures?.generation]);
  useEffect(() => live.listenToNews(({ message }) => {
    if (!message.violation_type || message.phase !== "new") return;
    setViolations((old) => [message, ...old.filter((each) => each.id !== message.id)].slice(0, KEPT));
  }), []);
  const choose = (name, on) => {
    const next = ALL.filter((each) => (each === name ? on : names.includes(each)));
    setNames(next);
    localStorage.setItem(STORED, JSON.stringify(next));
  };
  const shown = Object.fromEntries(ALL.map((name) => [name, names.includes(name)]));
  const one = flow.cameras.find((camera) => camera.name === rest[0]);
  const cameras = one ? [one] : flow.cameras;
  return html`<main class="page cameras">
    <h1 class="hidden-label">${words.app.pages.cameras}</h1>
    <fieldset class="overlays"><legend class="hidden-label">${words.cameras.overlays}</legend>
      ${one && html`<a class="button" href="#/cameras">${words.cameras.all}</a>`}
      ${ALL.map((name) => html`<label class="check"><input type="checkbox" checked=${shown[name]}
        onChange=${(event) => choose(name, event.target.checked)} />${words.cameras.shows[name]}</label>`)}
    </fieldset>
    ${flow.cameras.length === 0 && html`<p class="quiet">${words.cameras.none}</p>`}
    <div class=${`pictures n${Math.min(cameras.length, 4)}`}>
      ${cameras.map((camera) => html`<${View} key=${camera.name} camera=${camera} scene=${scenes[camera.scene]} shown=${shown}
        large=${Boolean(one) && flow.cameras.length > 1}>
        ${camera.scene && html`<a class="edit" href=${`#/scene/${camera.scene}`}>${words.cameras.draw}</a>`}</${View}>`)}
    </div>
    <section class="panel"><header><h2>${words.cameras.violations}</h2></header>
      <ol class="happened">
        ${violations.length === 0 && html`<li class="quiet">${words.cameras.noViolations}</li>`}
        ${violations.map((message) => html`<li key=${message.id}><span class="num quiet">${clock(Date.parse(message.time) / 1000)}</span>
          <span class=${`chip ${message.severity === "high" || message.severity === "critical" ? "bad" : "warn"}`}>${message.violation_type.replaceAll("_", " ")}</span>
          <span>${message.description}</span><span class="quiet">${message.camera_id}</span></li>`)}
      </ol></section>
  </main>`;
}
