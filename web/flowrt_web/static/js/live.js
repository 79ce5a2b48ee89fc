// The tab's web socket: it says what the tab looks at and hands on what comes. A hidden tab looks at nothing.
import { useEffect, useState } from "./lib.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
const SAMPLES = 4;

class Live {
  constructor() {
    this.listeners = { figures: new Set(), news: new Set(), tap: new Set(), picture: new Set(), delay: new Set(), state: new Set() };
    this.state = "connecting";
    this.history = []; // the last figures, from which rates are made
    this.cameras = new Map(); // name to width
    this.taps = new Map(); // number to what was asked
    this.wantsNews = 0;
    this.wait = FIRST_WAIT_MS;
    this.number = 0;
    document.addEventListener("visibilitychange", () => this.tellWhatIsWatched());
    this.connect();
  }

  connect() {
    const address = new URL("api/page/live", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.hash = "";
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.wait = FIRST_WAIT_MS;
      this.history = [];
      this.setState("open");
      this.tellWhatIsWatched();
      for (const tap of this.taps.values()) this.send(tap);
    };
    this.socket.onmessage = ({ data }) => (typeof data === "string" ? this.take(JSON.parse(data)) : this.takePicture(data));
    this.socket.onclose = () => {
      this.setState("away");
      setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
    };
  }

  setState(state) {
    this.state = state;
    this.tell("state", state);
  }

  tell(kind, content) {
    for (const listener of [...this.listeners[kind]]) listener(content);
  }

  take(message) {
    if (message.kind === "figures") {
      const before = this.history.at(-1)?.generation;
      this.history = [...this.history, message].slice(-SAMPLES);
      if (before && before !== message.generation) this.tellWhatIsWatched(); // an edit may have brought other nodes
    }
    if (message.kind in this.listeners) this.tell(message.kind, message);
  }

  takePicture(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const jpeg = new Blob([new Uint8Array(buffer, 4 + length)], { type: "image/jpeg" });
    this.tell("picture", { header, jpeg, drawn: () => this.send({ do: "seen", camera: header.camera }) });
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  on(kind, listener) {
    this.listeners[kind].add(listener);
    return () => this.listeners[kind].delete(listener);
  }

  tellWhatIsWatched() {
    const hidden = document.hidden;
    const cameras = hidden ? [] : [...this.cameras].map(([name, width]) => ({ name, width }));
    this.send({ do: "watch", figures: !hidden, cameras, news: !hidden && this.wantsNews > 0 });
  }

  watchCamera(name, width) {
    this.cameras.set(name, Math.round(width));
    this.tellWhatIsWatched();
    return () => {
      this.cameras.delete(name);
      this.tellWhatIsWatched();
    };
  }

  listenToNews(listener) {
    const end = this.on("news", listener);
    this.wantsNews += 1;
    this.tellWhatIsWatched();
    return () => {
      end();
      this.wantsNews -= 1;
      this.tellWhatIsWatched();
    };
  }

  tap(edge, wanted, listener) {
    const number = ++this.number;
    const asked = { do: "tap", number, source: edge.source, target: edge.target, field: edge.field, port: edge.port, wanted };
    this.taps.set(number, asked);
    this.send(asked);
    const end = this.on("tap", (message) => message.number === number && listener(message));
    return () => {
      end();
      this.taps.delete(number);
      this.send({ do: "untap", number });
    };
  }
}

export const live = new Live();

// The last figures, and how much of a count came in a second, over the last few of them.
export function useFigures() {
  const [figures, set] = useState(live.history.at(-1) ?? null);
  useEffect(() => live.on("figures", set), []);
  return figures;
}

export function perSecond(read) {
  const [first, last] = [live.history[0], live.history.at(-1)];
  if (!first || first === last) return null;
  const [before, after] = [read(first), read(last)];
  if (before === undefined || after === undefined) return null;
  return Math.max(0, after - before) / (last.time_s - first.time_s);
}

export function useConnection() {
  const [state, set] = useState(live.state);
  useEffect(() => live.on("state", set), []);
  return state;
}
