// A scene as the editor holds it: a list of shapes, never changed in place; what differs from the file becomes operations.
const SINGLES = ["stop_line", "crosswalk"];
const POINTS = { lines: "line", stop_line: "line", lanes: "zone", crosswalks: "zone", crosswalk: "zone", zones: "zone" };
const ORDER = ["zones", "crosswalk", "crosswalks", "lanes", "lines", "stop_line", "lamps"];
export const LENSES = ["red", "amber", "green"];
let numbers = 0;

export const isZone = (shape) => POINTS[shape.group] === "zone";
export const isLamp = (shape) => shape.group === "lamps";
export const nameOf = (shape) => shape.name || shape.group;
export const kindOf = (shape) => ({ lanes: "lane", crosswalk: "crosswalk", crosswalks: "crosswalk", stop_line: "stop_line" })[shape.group]
  ?? shape.props.kind ?? (isZone(shape) ? "other" : "count");

export function newShape(group, name, points, props = {}) {
  return { id: ++numbers, group, name, points, props };
}

export function shapesOf(data) {
  const shapes = [];
  for (const group of ORDER) {
    const block = data[group];
    if (!block) continue;
    const entries = SINGLES.includes(group) ? [["", block]] : Object.entries(block);
    for (const [name, { [POINTS[group]]: points = [], ...props }] of entries) shapes.push(newShape(group, name, points, props));
  }
  return shapes;
}

// The same shapes with the ids that they had before, so that undo and selection outlive a save.
export function withIdsOf(shapes, before) {
  return shapes.map((shape) => ({ ...shape, id: before.find((old) => old.group === shape.group && old.name === shape.name)?.id ?? shape.id }));
}

export function changed(shapes, id, change) {
  return shapes.map((shape) => (shape.id === id ? { ...shape, ...change(shape) } : shape));
}

export function operations(base, now) {
  const made = [];
  for (const old of base) {
    if (!now.some((shape) => shape.id === old.id)) made.push({ do: "remove", shape: place(old) });
  }
  for (const shape of now) {
    const old = base.find((each) => each.id === shape.id);
    if (!old) {
      made.push({ do: "add", shape: place(shape), points: shape.points, properties: shape.props });
      continue;
    }
    if (old.name !== shape.name) made.push({ do: "rename", shape: place(old), name: shape.name });
    made.push(...pointOperations(place(shape), old.points, shape.points));
    for (const key of new Set([...Object.keys(old.props), ...Object.keys(shape.props)])) {
      if (!same(old.props[key], shape.props[key])) made.push({ do: "set", shape: place(shape), key, value: shape.props[key] ?? null });
    }
  }
  return made;
}

const place = ({ group, name }) => ({ group, name: SINGLES.includes(group) ? "" : name });
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function pointOperations(shape, before, after) {
  let first = 0;
  while (first < Math.min(before.length, after.length) && same(before[first], after[first])) first += 1;
  let last = 0;
  while (last < Math.min(before.length, after.length) - first && same(before.at(-1 - last), after.at(-1 - last))) last += 1;
  const [old, now] = [before.slice(first, before.length - last), after.slice(first, after.length - last)];
  const made = [];
  for (let i = 0; i < Math.min(old.length, now.length); i += 1) {
    if (!same(old[i], now[i])) made.push({ do: "move", shape, index: first + i, to: now[i] });
  }
  for (let i = old.length; i < now.length; i += 1) made.push({ do: "add_point", shape, index: first + i, at: now[i] });
  for (let i = old.length - 1; i >= now.length; i -= 1) made.push({ do: "remove_point", shape, index: first + i });
  return made;
}

// My changes on top of what the file says now: a shape that I did not touch is the file's, one that I touched is mine.
export function onTopOf(file, base, mine) {
  const by = (list, shape) => list.find((each) => each.group === shape.group && each.name === shape.name);
  const touched = mine.filter((shape) => {
    const old = base.find((each) => each.id === shape.id);
    return !old || !same(old, shape);
  });
  const gone = base.filter((old) => !mine.some((shape) => shape.id === old.id));
  const kept = file.filter((shape) => !by(gone, shape) && !touched.some((mineNow) => mineNow.id === (by(base, shape)?.id ?? shape.id)))
    .map((shape) => ({ ...shape, id: by(base, shape)?.id ?? shape.id }));
  return [...kept, ...touched];
}

export function nameFor(shapes, start) {
  const taken = new Set(shapes.map((shape) => shape.name));
  for (let i = 1; ; i += 1) {
    if (!taken.has(`${start}_${i}`)) return `${start}_${i}`;
  }
}

export function middle(points) {
  const n = points.length || 1;
  return [points.reduce((sum, p) => sum + p[0], 0) / n, points.reduce((sum, p) => sum + p[1], 0) / n];
}
