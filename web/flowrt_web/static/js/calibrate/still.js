// A picture to measure in: the camera's own, without traffic, as an element of the drawing.
import { useEffect, useState } from "../lib.js";

// Fetches a picture, and lets go of the one before.
export function usePicture(ask, again) {
  const [state, set] = useState({ url: "", busy: false, error: "" });
  useEffect(() => {
    let wanted = true;
    let url = "";
    if (!ask) return undefined;
    set((old) => ({ ...old, busy: true }));
    ask().then(async (response) => {
      if (!response.ok) throw new Error((await response.json().catch(() => null))?.error ?? `HTTP ${response.status}`);
      url = URL.createObjectURL(await response.blob());
      if (wanted) set({ url, busy: false, error: "" });
    }).catch((error) => wanted && set((old) => ({ ...old, busy: false, error: error.message })));
    return () => {
      wanted = false;
      if (url) setTimeout(() => URL.revokeObjectURL(url), 2000);
    };
  }, again);
  return state;
}
