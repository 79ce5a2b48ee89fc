// The shell: what is always there, and which page is shown. Pages are loaded when they are opened first.
import { html, render, useEffect, useState } from "./lib.js";
import { get } from "./api.js";
import { duration } from "./format.js";
import { Icon } from "./icons.js";
import { useConnection, useFigures } from "./live.js";
import { say, words } from "./words.js";

const PAGES = {
  flow: () => import("./flow/page.js"),
  cameras: () => import("./cameras/page.js"),
  scene: () => import("./scene/page.js"),
  calibrate: () => import("./calibrate/page.js"),
  events: () => import("./events/page.js"),
  services: () => import("./services/page.js"),
};

function place() {
  const [page, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  return { page: page || "flow", rest };
}

function usePlace() {
  const [now, set] = useState(place());
  useEffect(() => {
    const follow = () => set(place());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return now;
}

function useFlow(generation) {
  const [flow, set] = useState(null);
  useEffect(() => {
    let wanted = true;
    get("/api/page/flow").then((answer) => wanted && set(answer), () => {});
    return () => { wanted = false; };
  }, [generation]);
  return flow;
}

function Top({ flow, figures, connection }) {
  const count = figures?.problems.length ?? 0;
  const state = connection !== "open" ? "away" : (figures?.state ?? "running");
  return html`<header class="top">
    <img src="page/icon.svg" alt="" />
    <span class="name">${flow?.flow ?? "flowrt"}</span>
    <span class=${`chip ${state === "running" ? "good" : "bad"}`} role="status">${words.app[state] ?? state}</span>
    ${figures && html`<span class="quiet wide-only">${say(words.app.up, { time: duration(figures.uptime_s) })}</span>`}
    <span class="file quiet">${flow?.file}</span>
    ${figures?.trouble.length > 0 && html`<span class="chip bad" title=${figures.trouble.join("\n")}>${words.app.trouble}</span>`}
    ${count > 0 && html`<a class="chip bad" href="#/flow/problems">${count === 1 ? words.app.problem : say(words.app.problems, { count })}</a>`}
  </header>`;
}

function Nav({ current }) {
  return html`<nav class="nav" aria-label=${words.app.nav}>
    ${Object.keys(PAGES).map((name) => html`<a href=${`#/${name}`} aria-current=${name === current ? "page" : undefined}>
      <${Icon} name=${name} />${words.app.pages[name]}</a>`)}
  </nav>`;
}

function App() {
  const { page, rest } = usePlace();
  const figures = useFigures();
  const connection = useConnection();
  const flow = useFlow(figures?.generation);
  const [shown, setShown] = useState({});
  useEffect(() => {
    if (!PAGES[page]) return setShown({ name: page });
    PAGES[page]().then((module) => setShown({ name: page, Page: module.Page }), (error) => setShown({ name: page, error }));
  }, [page]);
  const { Page } = shown;
  const ready = Page && flow && shown.name === page;
  return html`<div class="shell">
    <${Top} flow=${flow} figures=${figures} connection=${connection} />
    <${Nav} current=${page} />
    ${ready
      ? html`<${Page} flow=${flow} rest=${rest} />`
      : html`<main class="page"><p class="quiet">${shown.error ? say(words.app.failed, { error: shown.error.message })
        : PAGES[page] ? words.app.loading : words.app.notFound}</p></main>`}
  </div>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
