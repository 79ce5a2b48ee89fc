import { html } from "../lib.js";
export function Page() { return html`<main class="page">soon</main>`; }
