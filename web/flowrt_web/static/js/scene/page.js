// The scene editor.
import { html, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../lib.js";
import { get, post } from "../api.js";
import { useFigures } from "../live.js";
import { say, words } from "../words.js";
import { Drawing, moved } from "./drawing.js";
import { useHistory } from "./history.js";
import { changed, isLamp, nameFor, nameOf, newShape, onTopOf, operations, shapesOf, withIdsOf } from "./model.js";
import { Preview } from "./preview.js";
import { Properties } from "./properties.js";
import { Problems, SaveDialog, useCheck, Verdict } from "./saving.js";

const TOOLS = ["select", "lanes", "zones", "crosswalks", "lines", "stop_line", "lamps"];
const STARTS = { lanes: "lane", zones: "zone", crosswalks: "crosswalk", lines: "line", lamps: "lamp" };
const KINDS = { lines: { kind: "count" }, zones: { kind: "other" }, lanes: { heading: [0, 1] } };

export function Page({ flow, rest }) {
  const names = flow.scenes;
  const name = names.includes(rest[0]) ? rest[0] : names[0];
  if (!name) return html`<main class="page"><p class="quiet">${words.scene.none}</p></main>`;
  return html`<${Editor} key=${name} flow=${flow} name=${name} names=${names} />`;
}

function Editor({ flow, name, names }) {
  const figures = useFigures();
  const [source, setSource] = useState(null);
  const [base, setBase] = useState([]);
  const history = useHistory([]);
  const [selection, select] = useState(null);
  const [tool, setTool] = useState("select");
  const [frozen, setFrozen] = useState(false);
  const [snap, setSnap] = useState(true);
  const [conflict, setConflict] = useState(false);
  const [dialog, setDialog] = useState(false);
  const [saving, setSaving] = useState(false);
  const [reload, setReload] = useState(null);
  const [failure, setFailure] = useState("");
  const surface = useRef(null);
  const mayEdit = flow.edit.includes("scene");
  const camera = flow.cameras.find((each) => each.scene === name);
  const wanted = useMemo(() => operations(base, history.now), [base, history.now]);
  const dirty = wanted.length > 0;
  const latest = useRef({}); // for what comes back later than it was asked
  latest.current = { hash: source?.hash, dirty, saving: latest.current.saving };
  const noteConflict = useCallback(() => setConflict(true), []);
  const { verdict, busy } = useCheck(name, source && { ...source, mayEdit }, wanted, noteConflict);

  const load = async () => {
    try {
      return await get(`/api/page/scenes/${encodeURIComponent(name)}`);
    } catch (error) {
      setFailure(error.message);
      return null;
    }
  };
  const takeOver = (answer, shapes) => {
    setSource(answer);
    setBase(shapes);
    setConflict(false);
    setFailure("");
  };
  const takeFile = async () => {
    const answer = await load();
    if (!answer) return;
    const shapes = shapesOf(answer.data);
    takeOver(answer, shapes);
    history.reset(shapes);
    select(null);
  };
  const keepMine = async () => {
    const answer = await load();
    if (!answer) return;
    const shapes = withIdsOf(shapesOf(answer.data), base);
    history.set((mine) => onTopOf(shapes, base, mine));
    takeOver(answer, shapes);
  };
  useEffect(() => { takeFile(); }, []);
  useEffect(() => { // an editor may have changed the file: take it over, or say so where there is something to lose
    if (!source) return;
    load().then((answer) => {
      if (!answer || latest.current.saving || answer.hash === latest.current.hash) return;
      if (latest.current.dirty) setConflict(true);
      else takeFile();
    });
  }, [figures?.generation, figures?.reloads.at(-1)?.number]);

  const save = async () => {
    setSaving(true);
    latest.current.saving = true;
    try {
      const answer = await post("/api/page/scene/save", { scene: name, hash: source.hash, operations: wanted });
      setBase(history.now);
      setSource({ ...source, hash: answer.hash, undoable: true });
      setConflict(false);
      setReload(answer.reload);
    } catch (error) {
      if (error.body?.conflict) setConflict(true);
      else setFailure(error.message);
    }
    latest.current.saving = false;
    setSaving(false);
    setDialog(false);
  };
  const undoSave = async () => {
    latest.current.saving = true;
    try {
      const answer = await post("/api/page/scene/undo", {});
      setReload(answer.reload);
      const file = await load();
      const shapes = withIdsOf(shapesOf(file.data), history.now);
      history.set(() => shapes);
      takeOver(file, shapes);
    } catch (error) {
      setFailure(error.message);
    }
    latest.current.saving = false;
  };
  const drawn = (group, points) => {
    const single = group === "stop_line" && !history.now.some((shape) => shape.group === "stop_line");
    const target = group === "stop_line" && !single ? "lines" : group;
    const called = single ? "" : nameFor(history.now, STARTS[target]);
    const props = group === "stop_line" && !single ? { kind: "stop_line" } : { ...KINDS[target] };
    const [x, y] = points[0];
    const lenses = { red: [x, y, 5], amber: [x, y + 12, 5], green: [x, y + 24, 5] };
    const shape = target === "lamps" ? newShape(target, called, [], lenses) : newShape(target, called, points, props);
    history.set((shapes) => [...shapes, shape]);
    select({ id: shape.id, index: null });
    setTool("select");
  };
  const remove = () => {
    const { id, index } = selection;
    const shape = history.now.find((each) => each.id === id);
    const least = shape.group === "lines" || shape.group === "stop_line" ? 2 : 3;
    if (index !== null && index !== undefined && shape.points.length > least) {
      history.set((shapes) => changed(shapes, id, ({ points }) => ({ points: points.filter((_, i) => i !== index) })));
      select({ id, index: null });
    } else if (index === null || index === undefined || isLamp(shape)) {
      history.set((shapes) => shapes.filter((each) => each.id !== id));
      select(null);
    }
  };
  const keys = (event) => {
    if (event.target.closest("input, select, textarea, dialog")) return;
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const command = event.ctrlKey || event.metaKey;
    if (command && event.key.toLowerCase() === "z") (event.shiftKey ? history.redo : history.undo)();
    else if (command && event.key.toLowerCase() === "y") history.redo();
    else if (command && event.key.toLowerCase() === "s") { if (dirty && verdict?.good) setDialog(true); }
    else if (event.key === "Escape") { setTool("select"); select(null); }
    else if ((event.key === "Delete" || event.key === "Backspace") && selection) remove();
    else if (arrow && selection) {
      const step = event.shiftKey ? 10 : event.altKey ? 0.1 : 1;
      history.set((shapes) => changed(shapes, selection.id, (shape) => selection.index === null ? moved(shape, arrow[0] * step, arrow[1] * step)
        : { points: shape.points.map((p, i) => (i === selection.index ? moved({ points: [p], group: "lines", props: {} }, arrow[0] * step, arrow[1] * step).points[0] : p)) }));
    } else if (event.key === "n" && selection) {
      const shape = history.now.find((each) => each.id === selection.id);
      if (shape.points.length) select({ id: shape.id, index: ((selection.index ?? -1) + 1) % shape.points.length });
    } else return;
    event.preventDefault();
  };
  useLayoutEffect(() => { // at once: keys may follow each other faster than the page is painted
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  });
  useEffect(() => {
    const hold = (event) => dirty && event.preventDefault();
    addEventListener("beforeunload", hold);
    return () => removeEventListener("beforeunload", hold);
  }, [dirty]);

  if (!source) return html`<main class="page"><p class="quiet" role="alert">${failure || words.app.loading}</p></main>`;
  const chosen = history.now.find((shape) => shape.id === selection?.id);
  const owner = (path) => history.now.find((shape) => path.startsWith(`scene.${name}.${[shape.group, shape.name].filter(Boolean).join(".")}`));
  const wrong = new Set((verdict?.problems ?? []).map((problem) => owner(problem.path)?.id).filter(Boolean));
  const text = words.scene;
  return html`<main class="page filled scene">
    <h1 class="hidden-label">${say(text.title, { name })}</h1>
    <div class="bar" role="toolbar" aria-label=${text.tools.title}>
      <label class="hidden-label" for="scene">${text.scene}</label>
      <select id="scene" value=${name} onChange=${(event) => { location.hash = `#/scene/${encodeURIComponent(event.target.value)}`; }}>
        ${names.map((each) => html`<option value=${each}>${each}</option>`)}</select>
      ${TOOLS.map((each) => html`<button class=${tool === each ? "on" : ""} aria-pressed=${tool === each} disabled=${!mayEdit && each !== "select"}
        onClick=${() => { setTool(each); select(null); }}>${text.tools[each]}</button>`)}
      <span class="gap" />
      <button onClick=${history.undo} disabled=${!history.canUndo}>${text.undo}</button>
      <button onClick=${history.redo} disabled=${!history.canRedo}>${text.redo}</button>
      <label class="check"><input type="checkbox" checked=${snap} onChange=${(event) => setSnap(event.target.checked)} />${text.snap}</label>
      <label class="check"><input type="checkbox" checked=${frozen} onChange=${(event) => setFrozen(event.target.checked)} />${text.freeze}</label>
      <button class="main" disabled=${!dirty || !verdict?.good || busy || conflict} onClick=${() => setDialog(true)}>${text.save.open}</button>
    </div>
    <div class="work">
      <${Drawing} camera=${camera} picture=${source.data.picture_px} history=${history} selection=${selection} select=${select} tool=${tool}
        onDrawn=${drawn} frozen=${frozen} snap=${snap} wrong=${wrong} surface=${surface} />
      <div class="column">
        ${!mayEdit && html`<p class="notice warn">${text.readOnly}</p>`}
        ${conflict && html`<div class="notice bad" role="alert"><p>${say(text.conflict.text, { file: source.file })}</p>
          <div class="row"><button onClick=${keepMine}>${text.conflict.keep}</button><button onClick=${takeFile}>${text.conflict.take}</button></div></div>`}
        ${failure && html`<p class="notice bad" role="alert">${failure}</p>`}
        <${Verdict} reload=${reload} onClose=${() => setReload(null)} />
        ${chosen ? html`<${Properties} key=${chosen.id} shape=${chosen} history=${history} scene=${name} mayEdit=${mayEdit} signals=${source.signals} fixed=${source.fixed} onRemove=${remove} />`
          : html`<p class="notice">${tool === "select" ? text.help.select : text.help.draw}</p>`}
        <${Problems} verdict=${verdict} busy=${busy} onSelect=${(problem) => { const shape = owner(problem.path); if (shape) select({ id: shape.id, index: null }); }} />
        ${mayEdit && html`<${Preview} scene=${name} source=${source} wanted=${wanted} picture=${source.data.picture_px} disabled=${!dirty || !verdict?.good || busy || conflict} />`}
        <${Shapes} shapes=${history.now} selection=${selection} select=${select} />
        <p class="quiet mono">${source.file}</p>
        ${mayEdit && source.undoable && html`<button onClick=${undoSave} disabled=${dirty}>${text.save.undo}</button>`}
      </div>
    </div>
    ${dialog && verdict && html`<${SaveDialog} diff=${verdict.diff} problems=${verdict.problems} saving=${saving} onSave=${save} onClose=${() => setDialog(false)} />`}
  </main>`;
}

function Shapes({ shapes, selection, select }) {
  return html`<section class="panel"><header><h2>${words.scene.shapes}</h2></header><ul class="body list">
    ${shapes.map((shape) => html`<li><button class=${`plain ${shape.id === selection?.id ? "on" : ""}`} onClick=${() => select({ id: shape.id, index: null })}>
      ${nameOf(shape)} <span class="quiet">${words.scene.groups[shape.group]}</span></button></li>`)}
  </ul></section>`;
}
