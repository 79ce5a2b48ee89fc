// Numbers and times as people read them.
export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined || !isFinite(perSecond)) return "–";
  if (perSecond === 0) return "0";
  if (perSecond < 0.1) return "<0.1";
  return perSecond < 10 ? perSecond.toFixed(1) : compact(Math.round(perSecond));
}

export function compact(count) {
  if (count === null || count === undefined) return "–";
  if (count < 10_000) return String(count);
  if (count < 1_000_000) return `${(count / 1000).toFixed(count < 100_000 ? 1 : 0)}k`;
  return `${(count / 1_000_000).toFixed(1)}M`;
}

export function millis(ms) {
  if (ms === null || ms === undefined) return "–";
  return ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : ms.toFixed(0);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function clock(timeS) {
  return new Date(timeS * 1000).toLocaleTimeString([], { hour12: false });
}

export function dayAndTime(timeS) {
  return new Date(timeS * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hour12: false });
}
