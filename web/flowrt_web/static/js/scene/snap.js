// Points catch on what is near: corners of other shapes first, then their sides, then the edge of the picture.
export function snapped(point, shapes, except, reach, picture) {
  let best = null;
  const offer = (x, y, weight) => {
    const distance = Math.hypot(x - point[0], y - point[1]) * weight;
    if (distance <= reach && (!best || distance < best.distance)) best = { at: [x, y], distance };
  };
  for (const shape of shapes) {
    shape.points.forEach(([x, y], i) => {
      if (shape.id === except?.id && i === except.index) return;
      offer(x, y, 1);
    });
  }
  if (!best) {
    for (const shape of shapes) {
      if (shape.id === except?.id) continue;
      shape.points.forEach((a, i) => {
        const b = shape.points[(i + 1) % shape.points.length];
        if (!b || (shape.points.length === 2 && i === 1)) return;
        offer(...nearest(point, a, b), 1.6);
      });
    }
  }
  for (const x of [0, picture[0]]) if (Math.abs(point[0] - x) < reach) offer(x, point[1], 1.2);
  for (const y of [0, picture[1]]) if (Math.abs(point[1] - y) < reach) offer(point[0], y, 1.2);
  const [x, y] = best?.at ?? point;
  return { at: [round(clamp(x, picture[0])), round(clamp(y, picture[1]))], caught: Boolean(best) };
}

export function nearest([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const share = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
  return [ax + share * dx, ay + share * dy];
}

const clamp = (value, most) => Math.min(Math.max(value, 0), most);
export const round = (value) => Math.round(value * 10) / 10;
