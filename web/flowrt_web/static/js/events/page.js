// Recorded events: a list with filters, and one of them with its picture, its facts and what people said of it.
import { html, useEffect, useState } from "../lib.js";
import { get, post } from "../api.js";
import { dayAndTime } from "../format.js";
import { useFigures } from "../live.js";
import { say, words } from "../words.js";

const text = words.events;
const SPANS = { 3600: text.hour, 86400: text.day, 604800: text.week };
const IMPORTANT = ["high", "critical"];

export function Page({ flow, rest }) {
  const figures = useFigures();
  const [type, setType] = useState("violations");
  const [camera, setCamera] = useState("");
  const [span, setSpan] = useState("86400");
  const [answer, setAnswer] = useState(null);
  const [failure, setFailure] = useState("");
  const [again, setAgain] = useState(0);
  const counted = Object.values(figures?.events ?? {}).reduce((sum, n) => sum + n, 0);
  useEffect(() => {
    let wanted = true;
    const query = new URLSearchParams({ type, camera, since: String(Math.round(Date.now() / 1000 - Number(span))) });
    get(`/api/page/events?${query}`).then((found) => { if (wanted) { setAnswer(found); setFailure(""); } }, (error) => wanted && setFailure(error.message));
    return () => { wanted = false; };
  }, [type, camera, span, counted, again]);
  const chosen = answer?.events.find((event) => event.id === rest[0]);
  return html`<main class="page events">
    <h1 class="hidden-label">${words.app.pages.events}</h1>
    <div class="filters">
      <label class="field"><span>${text.type}</span><select value=${type} onChange=${(event) => setType(event.target.value)}>
        <option value="">${text.all}</option><option value="violations">${text.violations}</option>
        ${(answer?.kinds ?? []).map(([kind, count]) => html`<option value=${kind}>${kind.replaceAll("_", " ")} (${count})</option>`)}</select></label>
      <label class="field"><span>${text.camera}</span><select value=${camera} onChange=${(event) => setCamera(event.target.value)}>
        <option value="">${text.all}</option>${flow.cameras.map(({ name }) => html`<option value=${name}>${name}</option>`)}</select></label>
      <label class="field"><span>${text.span}</span><select value=${span} onChange=${(event) => setSpan(event.target.value)}>
        ${Object.entries(SPANS).map(([seconds, name]) => html`<option value=${seconds}>${name}</option>`)}</select></label>
    </div>
    ${failure && html`<p class="notice bad" role="alert">${failure}</p>`}
    <div class=${`work ${chosen ? "with-side" : ""}`}>
      <section class="panel scrolls"><table class="rows"><thead><tr><th>${text.time}</th><th>${text.what}</th><th>${text.camera}</th>
        <th>${text.who}</th><th>${text.review}</th></tr></thead>
        <tbody>${answer?.events.map((event) => html`<${Row} key=${event.id} event=${event} selected=${event.id === chosen?.id} />`)}</tbody></table>
        ${answer?.events.length === 0 && html`<p class="quiet body">${text.none}</p>`}
        ${answer?.more && html`<p class="quiet body">${text.more}</p>`}</section>
      ${chosen && html`<${Details} key=${chosen.id} event=${chosen} onReviewed=${() => setAgain(again + 1)} />`}
    </div>
  </main>`;
}

function Row({ event, selected }) {
  const { payload } = event;
  const address = `#/events/${encodeURIComponent(event.id)}`;
  return html`<tr class=${selected ? "selected" : ""}>
    <td class="num"><a href=${address}>${dayAndTime(event.time_s)}</a></td>
    <td><span class=${`chip ${IMPORTANT.includes(payload.severity ?? payload.risk_level) ? "bad" : payload.severity ? "warn" : ""}`}>${event.kind.replaceAll("_", " ")}</span></td>
    <td>${payload.camera_id}</td>
    <td>${payload.object ? `${payload.object.label} ${payload.object.track_id}` : ""}</td>
    <td>${event.review ? html`<span class=${event.review.verdict === "confirmed" ? "good" : "quiet"}>${text[event.review.verdict]}</span>` : ""}</td>
  </tr>`;
}

function Details({ event, onReviewed }) {
  const { payload, review } = event;
  const [reason, setReason] = useState(review?.reason ?? "");
  const [failure, setFailure] = useState("");
  const judge = async (verdict) => {
    try {
      await post("/api/page/review", { id: event.id, verdict, reason });
      onReviewed();
    } catch (error) {
      setFailure(error.message);
    }
  };
  return html`<aside class="panel side" aria-label=${event.kind}>
    <header><h2>${event.kind.replaceAll("_", " ")}</h2><a class="button plain" href="#/events" aria-label=${words.app.close}>✕</a></header>
    <div class="body scrolls">
      <p>${payload.description ?? ""}</p>
      <p class="quiet">${dayAndTime(event.time_s)} · ${payload.camera_id}</p>
      ${event.picture ? html`<a href=${event.picture}><img class="evidence" src=${event.picture} alt=${say(text.picture, { kind: event.kind })} /></a>`
        : html`<p class="quiet">${text.noPicture}</p>`}
      <label class="field"><span>${text.reason}</span><input value=${reason} maxlength="500" onInput=${(change) => setReason(change.target.value)} /></label>
      <div class="row"><span class="quiet">${review ? say(text.said, { verdict: text[review.verdict], time: dayAndTime(review.time_s) }) : text.open}</span>
        <button class=${review?.verdict === "confirmed" ? "on" : ""} onClick=${() => judge("confirmed")}>${text.confirm}</button>
        <button class=${review?.verdict === "dismissed" ? "on" : ""} onClick=${() => judge("dismissed")}>${text.dismiss}</button></div>
      ${failure && html`<p class="notice bad" role="alert">${failure}</p>`}
      <h3>${text.facts}</h3>
      <pre class="code">${JSON.stringify(payload, null, 1)}</pre>
    </div></aside>`;
}
