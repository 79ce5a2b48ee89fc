// Problems while drawing, the difference to the file, the save and its verdict.
import { html, useEffect, useRef, useState } from "../lib.js";
import { post } from "../api.js";
import { say, words } from "../words.js";

const PAUSE_MS = 350;

// What `flowrt check` says of the draft, a moment after the last change.
export function useCheck(scene, source, wanted, onConflict) {
  const [verdict, setVerdict] = useState(null);
  const [busy, setBusy] = useState(false);
  const asked = JSON.stringify(wanted);
  useEffect(() => {
    let current = true;
    if (!source || !source.mayEdit) return undefined;
    setBusy(true);
    const timer = setTimeout(async () => {
      try {
        const answer = await post("/api/page/scene/check", { scene, hash: source.hash, operations: wanted });
        if (current) setVerdict(answer);
      } catch (error) {
        if (!current) return;
        if (error.body?.conflict) onConflict();
        setVerdict({ good: false, problems: [{ severity: "error", message: error.message, path: "" }], diff: "" });
      }
      if (current) setBusy(false);
    }, PAUSE_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [scene, source?.hash, asked]);
  return { verdict, busy };
}

export function Problems({ verdict, busy, onSelect }) {
  const text = words.scene.problems;
  return html`<section class="panel"><header><h2>${text.title}</h2>${busy && html`<span class="quiet">${text.checking}</span>`}</header>
    <ul class="body list" data-test="problems">
      ${verdict && verdict.problems.length === 0 && html`<li class="quiet">${text.none}</li>`}
      ${verdict?.problems.map((problem) => html`<li><button class="plain problem-line" onClick=${() => onSelect(problem)}>
        <span class=${problem.severity === "error" ? "bad" : "warn"}>${problem.message}</span>
        ${problem.hint && html`<span class="quiet">${problem.hint}</span>`}</button></li>`)}
    </ul></section>`;
}

export function SaveDialog({ diff, problems, onSave, onClose, saving }) {
  const dialog = useRef(null);
  const text = words.scene.save;
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} onClose=${onClose} aria-label=${text.title}>
    <h2>${text.title}</h2>
    <pre class="code diff" tabindex="0">${diff.split("\n").map((line) => html`<span class=${line[0] === "+" ? "added" : line[0] === "-" ? "removed" : ""}>${line}</span>`)}</pre>
    ${problems.map((problem) => html`<p class="notice warn">${problem.message}</p>`)}
    <div class="row"><span></span><button onClick=${onClose}>${text.cancel}</button>
      <button class="main" onClick=${onSave} disabled=${saving}>${saving ? text.saving : text.confirm}</button></div>
  </dialog>`;
}

export function Verdict({ reload, onClose }) {
  if (!reload) return null;
  const text = words.scene.save;
  return html`<div class=${`notice ${reload.ok ? "good" : "bad"} row`} role="status"><div>
    <p><strong>${reload.ok ? text.inForce : text.refused}</strong> ${reload.took_ms?.total ? say(text.took, { ms: Math.round(reload.took_ms.total) }) : reload.message}</p>
    ${(reload.lines ?? []).length > 0 && html`<pre>${reload.lines.join("\n")}</pre>`}
    ${(reload.problems ?? []).map((problem) => html`<p class="bad">${problem.message}</p>`)}
  </div><button class="plain" onClick=${onClose} aria-label=${words.app.close}>✕</button></div>`;
}
