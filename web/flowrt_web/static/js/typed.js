// A field whose text stays as it is typed, whatever is drawn anew meanwhile, and counts once it is left.
import { html, useEffect, useState } from "./lib.js";

export function Typed({ value, onSet, ...others }) {
  const [typed, setTyped] = useState(String(value ?? ""));
  useEffect(() => setTyped(String(value ?? "")), [value]);
  return html`<input ...${others} value=${typed} onInput=${(event) => setTyped(event.target.value)}
    onChange=${() => { if (typed !== String(value ?? "")) onSet(typed); }} />`;
}
