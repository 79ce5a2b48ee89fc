// Calibration: pairs of points, what the fit of them is worth, and the save.
import { html, useEffect, useMemo, useState } from "../lib.js";
import { get, post } from "../api.js";
import { useHistory } from "../scene/history.js";
import { SaveDialog, Verdict } from "../scene/saving.js";
import { say, words } from "../words.js";
import { Drawing } from "./drawing.js";
import { Figures, Pairs } from "./figures.js";
import { usePicture } from "./still.js";

const text = words.calibrate;
const PAUSE_MS = 250;
const HEADERS = { "Content-Type": "application/json", "Flowrt-Page": "1" };

export function Page({ flow, rest }) {
  const names = flow.cameras.map((camera) => camera.scene).filter((scene, i, all) => scene && all.indexOf(scene) === i);
  const name = names.includes(rest[0]) ? rest[0] : names[0];
  if (!name) return html`<main class="page"><p class="quiet">${words.scene.none}</p></main>`;
  return html`<${Calibration} key=${name} name=${name} names=${names} mayEdit=${flow.edit.includes("scene")} />`;
}

function Calibration({ name, names, mayEdit }) {
  const [source, setSource] = useState(null);
  const history = useHistory([]);
  const [fit, setFit] = useState(null);
  const [selected, select] = useState(null);
  const [tool, setTool] = useState("select");
  const [held, setHeld] = useState([]);
  const [metres, setMetres] = useState("");
  const [shown, setShown] = useState({ grid: true, map: false, top: false });
  const [draft, setDraft] = useState(null);
  const [reload, setReload] = useState(null);
  const [failure, setFailure] = useState("");
  const [stills, setStills] = useState(0);
  const still = usePicture(source && (() => fetch(`/api/page/still/${encodeURIComponent(name)}`)), [source?.hash, stills]);
  const pairs = history.now;
  const whole = pairs.filter(({ ground }) => ground[0] !== null && ground[1] !== null);
  const asked = useMemo(() => ({
    scene: name, image_px: whole.map((pair) => pair.image), ground_m: whole.map((pair) => pair.ground),
    held_out: held.length === 2 && Number(metres) > 0 ? { from_px: held[0], to_px: held[1], metres: Number(metres) } : null,
  }), [pairs, held, metres]);
  const load = () => get(`/api/page/scenes/${encodeURIComponent(name)}`).then((answer) => {
    setSource(answer);
    const homography = answer.data.homography ?? { image_px: [], ground_m: [] };
    history.reset(homography.image_px.map((image, i) => ({ image, ground: homography.ground_m[i] ?? [null, null] })));
  }, (error) => setFailure(error.message));
  useEffect(() => { load(); }, []);
  useEffect(() => {
    let wanted = true;
    if (!source || pairs.some(({ ground }) => ground[0] === null || ground[1] === null)) return undefined;
    const timer = setTimeout(() => post("/api/page/calibration", asked).then((answer) => wanted && setFit(answer),
      (error) => wanted && setFailure(error.message)), PAUSE_MS);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [source?.hash, asked]);
  const top = usePicture(shown.top && fit?.good && (() => fetch("/api/page/calibration/top", { method: "POST", headers: HEADERS, body: JSON.stringify(asked) })),
    [shown.top, fit]);
  const operations = [{ do: "homography", image_px: asked.image_px, ground_m: asked.ground_m }];
  const ask = async (path) => post(path, { scene: name, hash: source.hash, operations });
  const review = async () => {
    try {
      setDraft(await ask("/api/page/scene/check"));
    } catch (error) {
      setFailure(error.message);
    }
  };
  const save = async () => {
    try {
      const answer = await ask("/api/page/scene/save");
      setReload(answer.reload);
      await load();
    } catch (error) {
      setFailure(error.message);
    }
    setDraft(null);
  };
  if (!source) return html`<main class="page"><p class="quiet" role="alert">${failure || words.app.loading}</p></main>`;
  const toggle = (key) => html`<label class="check"><input type="checkbox" checked=${shown[key]}
    onChange=${(event) => setShown({ ...shown, [key]: event.target.checked })} />${text.shows[key]}</label>`;
  return html`<main class="page filled scene">
    <h1 class="hidden-label">${say(text.title, { name })}</h1>
    <div class="bar" role="toolbar" aria-label=${words.scene.tools.title}>
      <label class="hidden-label" for="scene">${words.scene.scene}</label>
      <select id="scene" value=${name} onChange=${(event) => { location.hash = `#/calibrate/${encodeURIComponent(event.target.value)}`; }}>
        ${names.map((each) => html`<option value=${each}>${each}</option>`)}</select>
      ${["select", "add", "held"].map((each) => html`<button class=${tool === each ? "on" : ""} aria-pressed=${tool === each} onClick=${() => setTool(each)}>${text.tools[each]}</button>`)}
      <span class="gap" />
      ${toggle("grid")}${toggle("map")}${toggle("top")}
      <button onClick=${() => setStills(stills + 1)} disabled=${still.busy}>${still.busy ? text.taking : text.again}</button>
      <button onClick=${history.undo} disabled=${!history.canUndo}>${words.scene.undo}</button>
      <button onClick=${history.redo} disabled=${!history.canRedo}>${words.scene.redo}</button>
      <button class="main" disabled=${!mayEdit || !fit?.good || !history.canUndo} onClick=${review}>${words.scene.save.open}</button>
    </div>
    <div class="work">
      <${Drawing} picture=${source.data.picture_px} url=${still.url} pairs=${pairs} history=${history} fit=${fit} shown=${shown} selected=${selected}
        select=${select} held=${held} onHeld=${setHeld} tool=${tool} />
      <div class="column">
        ${(failure || still.error) && html`<p class="notice bad" role="alert">${failure || still.error}</p>`}
        <${Verdict} reload=${reload} onClose=${() => setReload(null)} />
        <${Figures} fit=${fit} held=${held} metres=${metres} setMetres=${setMetres} />
        ${shown.top && top.url && html`<img class="evidence" src=${top.url} alt=${text.topView} />`}
        ${shown.top && top.error && html`<p class="notice bad">${top.error}</p>`}
        <${Pairs} pairs=${pairs} history=${history} fit=${fit} selected=${selected} select=${select} />
      </div>
    </div>
    ${draft && html`<${SaveDialog} diff=${draft.diff} problems=${draft.problems} onSave=${save} onClose=${() => setDraft(null)} />`}
  </main>`;
}
