// The camera's picture behind the drawing, live or frozen, placed so that its pixels lie under the drawing's.
import { html, useEffect, useRef } from "../lib.js";
import { live } from "../live.js";

const WIDEST = 1920;

export function Backdrop({ camera, picture, view, frozen, onPicture, canvas }) {
  const own = useRef(null);
  const surface = canvas ?? own;
  const stopped = useRef(frozen);
  stopped.current = frozen;
  const seen = useRef(false);
  useEffect(() => {
    if (!camera) return undefined;
    const ends = [
      live.on("picture", async ({ header, jpeg, drawn }) => {
        if (header.camera !== camera.name) return;
        if (!stopped.current || !seen.current) {
          const image = await createImageBitmap(jpeg);
          const element = surface.current;
          if (element) {
            if (element.width !== image.width || element.height !== image.height) [element.width, element.height] = [image.width, image.height];
            element.getContext("2d").drawImage(image, 0, 0);
            element.dataset.number = header.number;
            seen.current = true;
            onPicture?.(header);
          }
          image.close();
        }
        setTimeout(drawn, stopped.current ? 1000 : 0);
      }),
      live.watchCamera(camera.name, WIDEST),
    ];
    return () => ends.forEach((end) => end());
  }, [camera?.name]);
  const percent = (value) => `${value * 100}%`;
  const style = {
    left: percent(-view.x / view.width), top: percent(-view.y / view.height),
    width: percent(picture[0] / view.width), height: percent(picture[1] / view.height),
  };
  return html`<canvas class="backdrop" ref=${surface} width="16" height="9" style=${style} aria-hidden="true" />`;
}
