// What is drawn over a picture, on a canvas that has the picture's own pixels: boxes and all else belong to that very picture.
import { ALARM, CLASSES, lampColour, lensOf, lineColour, OTHER, zoneColour } from "../colours.js";

const TRAIL_S = 3;
const ALARM_S = 3;

export class Overlay {
  constructor() {
    this.trails = new Map(); // track to [[time, x, y], …]
    this.alarms = new Map(); // track to {until, text}
    this.signals = {};
  }

  note(message) {
    if (message.type === "signals") this.signals = message.states ?? {};
    if (message.violation_type && message.object) {
      this.alarms.set(message.object.track_id, { at: Date.parse(message.time) / 1000, text: message.violation_type.replaceAll("_", " ") });
    }
  }

  draw(context, image, header, scene, shown) {
    const [width, height] = header.picture_px;
    const canvas = context.canvas;
    if (canvas.width !== image.width || canvas.height !== image.height) {
      canvas.width = image.width;
      canvas.height = image.height;
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(image, 0, 0);
    context.scale(image.width / width, image.height / height);
    this.unit = Math.max(width / image.width, height / 720); // one pixel of the canvas, at least
    this.context = context;
    if (scene && (shown.zones || shown.lines || shown.signals)) this.drawScene(scene, width, height, shown);
    if (!header.objects) return;
    if (shown.trails) this.drawTrails(header);
    if (shown.footprints) this.drawFootprints(header.objects);
    if (shown.boxes) this.drawBoxes(header, shown);
  }

  drawScene(scene, width, height, shown) {
    const { context, unit } = this;
    context.save();
    context.scale(width / scene.picture_px[0], height / scene.picture_px[1]);
    for (const zone of shown.zones ? scene.zones : []) {
      this.trace(zone.points, true);
      context.globalAlpha = 0.16;
      context.fillStyle = zoneColour(zone.kind);
      context.fill();
      context.globalAlpha = 0.9;
      context.strokeStyle = zoneColour(zone.kind);
      context.lineWidth = 1.2 * unit;
      context.stroke();
    }
    context.globalAlpha = 1;
    for (const line of shown.lines ? scene.lines : []) {
      this.trace(line.points, false);
      context.strokeStyle = lineColour(line.kind);
      context.lineWidth = 3 * unit;
      context.stroke();
    }
    for (const lamp of shown.signals ? scene.lamps : []) {
      const lit = lensOf(this.signals[lamp.signal]);
      for (const lens of ["red", "amber", "green"]) {
        if (!lamp[lens]) continue;
        const [x, y, radius] = lamp[lens];
        context.beginPath();
        context.arc(x, y, Math.max(radius, 3 * unit) * (lens === lit ? 1.7 : 1.2), 0, 7);
        context.lineWidth = 1.5 * unit;
        context.strokeStyle = lampColour(lens);
        context.fillStyle = lampColour(lens);
        if (lens === lit) context.fill();
        context.stroke();
      }
    }
    context.restore();
  }

  drawTrails(header) {
    const { context, unit } = this;
    const { objects, time_s: now } = header;
    (objects.track ?? []).forEach((track, i) => {
      const trail = this.trails.get(track) ?? [];
      trail.push([now, ...objects.ground[i]]);
      this.trails.set(track, trail.filter(([at]) => now - at <= TRAIL_S && now >= at));
    });
    for (const [track, trail] of this.trails) {
      if (now - trail.at(-1)?.[0] > TRAIL_S || !trail.length) this.trails.delete(track);
    }
    (objects.track ?? []).forEach((track, i) => {
      this.trace((this.trails.get(track) ?? []).map(([, x, y]) => [x, y]), false);
      context.strokeStyle = colourOf(objects.label[i]);
      context.lineWidth = 2 * unit;
      context.stroke();
    });
  }

  drawFootprints(objects) {
    const { context, unit } = this;
    (objects.footprint ?? []).forEach((corners, i) => {
      if (!corners) return;
      this.trace(corners, true);
      context.globalAlpha = 0.35;
      context.fillStyle = colourOf(objects.label[i]);
      context.fill();
      context.globalAlpha = 1;
      context.lineWidth = unit;
      context.strokeStyle = colourOf(objects.label[i]);
      context.stroke();
    });
  }

  drawBoxes({ objects, time_s: now }, shown) {
    const { context, unit } = this;
    context.font = `${12 * unit}px system-ui, sans-serif`;
    context.textBaseline = "bottom";
    const order = objects.box.map((_, i) => i).sort((a, b) => objects.box[a][3] - objects.box[b][3]);
    for (const i of order) {
      const [x0, y0, x1, y1] = objects.box[i];
      const track = objects.track?.[i];
      const alarm = shown.violations && this.alarms.get(track);
      const alarmed = alarm && Math.abs(now - alarm.at) < ALARM_S;
      const colour = alarmed ? ALARM : colourOf(objects.label[i]);
      context.strokeStyle = colour;
      context.lineWidth = (alarmed ? 3 : 1.6) * unit;
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
      if (!shown.labels && !alarmed) continue;
      const speed = objects.speed_kmh?.[i];
      const words = [track ?? "", objects.label[i], speed === null || speed === undefined ? "" : `${Math.round(speed)} km/h`, alarmed ? alarm.text : ""];
      const text = words.filter((word) => word !== "").join(" ");
      const width = context.measureText(text).width + 6 * unit;
      context.fillStyle = colour;
      context.fillRect(x0 - unit, y0 - 16 * unit, width, 16 * unit);
      context.fillStyle = alarmed ? "#fff" : "#0b0f14";
      context.fillText(text, x0 + 2 * unit, y0 - 2 * unit);
    }
  }

  trace(points, closed) {
    this.context.beginPath();
    points.forEach(([x, y], i) => (i ? this.context.lineTo(x, y) : this.context.moveTo(x, y)));
    if (closed) this.context.closePath();
  }
}

const colourOf = (label) => CLASSES[label] ?? OTHER;
