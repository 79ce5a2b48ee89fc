// A look at one edge: sampled, bounded, filtered; costs nothing when it is closed.
import { html, useEffect, useRef, useState } from "../lib.js";
import { rate } from "../format.js";
import { live, perSecond } from "../live.js";
import { say, words } from "../words.js";

const KEPT = 12;
const TYPING_MS = 400;

export function Tap({ edge, onClose }) {
  const [typed, setTyped] = useState("");
  const [wanted, setWanted] = useState("");
  const [paused, setPaused] = useState(false);
  const [look, setLook] = useState({ seen: 0, sampled: 0, messages: [], error: "" });
  const [copied, setCopied] = useState(false);
  const isPaused = useRef(false);
  isPaused.current = paused;

  useEffect(() => {
    const timer = setTimeout(() => setWanted(typed), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  useEffect(() => {
    setLook({ seen: 0, sampled: 0, messages: [], error: "" });
    return live.tap(edge, wanted, (message) => {
      if (isPaused.current) return;
      setLook((old) => message.error ? { ...old, error: message.error } : {
        error: "", seen: old.seen + message.seen, sampled: old.sampled + message.sampled,
        messages: [...old.messages, ...message.messages].slice(-KEPT),
      });
    });
  }, [edge.key, wanted]);

  const copy = async () => {
    await navigator.clipboard.writeText(JSON.stringify(look.messages, null, 2));
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  const same = (row) => row.source === edge.source && row.target === edge.target && row.field === edge.field && row.port === edge.port;
  const each = perSecond((sample) => sample.edges.find(same)?.messages);
  return html`<aside class="panel side tap" aria-label=${say(words.tap.title, edge)}>
    <header><h2>${say(words.tap.title, edge)}</h2><button class="plain" onClick=${onClose} aria-label=${words.app.close}>✕</button></header>
    <div class="body">
      <p class="quiet mono">${edge.ports.join(", ")} · ${say(words.tap.perSecond, { rate: rate(each) })}</p>
      <label class="field"><span>${words.tap.filter}</span>
        <input value=${typed} placeholder=${words.tap.placeholder} onInput=${(event) => setTyped(event.target.value)} spellcheck="false" /></label>
      ${look.error && html`<p class="notice bad" role="alert">${look.error}</p>`}
      <div class="row">
        <span class="quiet" data-test="shown">${say(words.tap.shown, { shown: look.messages.length, seen: look.seen })}</span>
        <button class=${paused ? "on" : ""} onClick=${() => setPaused(!paused)}>${paused ? words.tap.resume : words.tap.pause}</button>
        <button onClick=${copy} disabled=${!look.messages.length}>${copied ? words.app.copied : words.tap.copy}</button>
      </div>
    </div>
    <ol class="messages scrolls">
      ${look.messages.length === 0 && html`<li class="quiet">${look.sampled ? say(words.tap.none, look) : words.tap.waiting}</li>`}
      ${[...look.messages].reverse().map((message) => html`<li><pre>${JSON.stringify(message)}</pre></li>`)}
    </ol>
  </aside>`;
}
