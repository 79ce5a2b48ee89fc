// Undo and redo of the drawing. They go on across saves: what was saved can still be undone, and saved again.
import { useRef, useState } from "../lib.js";
import { same } from "./model.js";

const MOST = 300;

export function useHistory(first) {
  const [state, setState] = useState({ past: [], now: first, future: [] });
  const begun = useRef(null); // what was there when a drag began: it is undone as one step

  return {
    now: state.now,
    canUndo: state.past.length > 0,
    canRedo: state.future.length > 0,
    reset: (now) => setState({ past: [], now, future: [] }),
    replace: (now) => setState((old) => ({ ...old, now })),
    set(change) {
      setState(({ past, now }) => {
        const next = change(now);
        return same(next, now) ? { past, now, future: [] } : { past: [...past, now].slice(-MOST), now: next, future: [] };
      });
    },
    begin() {
      begun.current = state.now;
    },
    drag(change) {
      setState((old) => ({ ...old, now: change(begun.current ?? old.now) }));
    },
    end() {
      const before = begun.current;
      begun.current = null;
      if (!before) return;
      setState(({ past, now }) => (same(before, now) ? { past, now, future: [] } : { past: [...past, before].slice(-MOST), now, future: [] }));
    },
    undo() {
      setState(({ past, now, future }) => past.length ? { past: past.slice(0, -1), now: past.at(-1), future: [now, ...future] } : { past, now, future });
    },
    redo() {
      setState(({ past, now, future }) => future.length ? { past: [...past, now], now: future[0], future: future.slice(1) } : { past, now, future });
    },
  };
}
