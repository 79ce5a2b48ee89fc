// Colours of what is drawn over pictures: those of Okabe and Ito, which stay apart for colour-blind eyes; the same as in snapshots.
export const CLASSES = {
  car: "#56b4e9", van: "#0090d0", truck: "#e69f00", bus: "#e08bb8", motorcycle: "#12c48b", bicycle: "#f0e442",
  person: "#f0e442", pedestrian: "#f0e442",
};
export const OTHER = "#c8c8c8";
export const ALARM = "#ff3b4e";
const ZONES = {
  lane: "#2f9bff", crosswalk: "#f0e442", sidewalk: "#12c48b", carriageway: "#9aa7b5", box: "#e08bb8", conflict: "#ff7a1a",
  no_stopping: "#ff7a1a", intersection: "#b79cff", other: "#e08bb8",
};
const LINES = { stop_line: "#ff5b3a", entry: "#12c48b", exit: "#e69f00", count: "#56b4e9" };
const LAMPS = { red: "#ff3b4e", amber: "#ffb000", green: "#28d17c" };

export const zoneColour = (kind) => ZONES[kind] ?? ZONES.other;
export const lineColour = (kind) => LINES[kind] ?? LINES.count;
export const lampColour = (lens) => LAMPS[lens];

// SAE J2735 phase states, as lamps show them.
export function lensOf(state = "") {
  if (/red|stop/i.test(state)) return "red";
  if (/clearance|amber|yellow/i.test(state)) return "amber";
  return /green|movement-allowed|walk|permissive|protected/i.test(state) ? "green" : "";
}
