// Every English text of the page, in one place, so that it can be translated. `{name}` is filled in by `say`.
export const words = {
  app: {
    pages: { flow: "Flow", cameras: "Cameras", scene: "Scene", calibrate: "Calibrate", events: "Events", services: "Services" },
    nav: "Pages", running: "running", away: "no connection", stopping: "stopping", up: "up {time}",
    problems: "{count} problems in the file", problem: "1 problem in the file", trouble: "trouble",
    notFound: "There is no such page.", loading: "Loading", retry: "Try again", close: "Close", copy: "Copy", copied: "Copied",
    failed: "This did not work: {error}",
  },
  flow: {
    graph: "Graph of the flow", lane: "camera {name}", fit: "Fit", zoomIn: "Zoom in", zoomOut: "Zoom out",
    waits: "{count} waiting", rate: "{rate}/s", dropped: "{count} dropped", node: "{name}, {type}, {rate} per second, {errors} errors",
    edge: "{source} to {target}, {rate} per second. Tap it", legend: "Click a node for its details, an edge to see its messages.",
    tables: { nodes: "Nodes", queues: "Queues", sinks: "Outboxes", reloads: "Reloads", problems: "Problems of the file" },
    columns: {
      node: "Node", type: "Type", rate: "msg/s", in: "in", out: "out", dropped: "dropped", errors: "errors", p50: "p50 ms", p99: "p99 ms",
      queue: "Queue", depth: "depth", deepest: "deepest", policy: "policy", sink: "Outbox", state: "state", accepted: "accepted",
      delivered: "delivered", pending: "pending", dead: "dead letters", oldest: "oldest", error: "last error",
    },
    noProblems: "The file as it is now has no problems.", noReloads: "Nothing was edited yet.", noQueues: "No queues.", noSinks: "No outboxes.",
    inForce: "in force", refused: "refused",
  },
  node: {
    settings: "Settings", statistics: "Statistics", status: "What the node says of itself", faults: "Last faults",
    noFaults: "No faults.", documentation: "Documentation of {type}", place: "{file}, line {line}", noSettings: "No settings.",
    latency: "Processing", p50: "p50", p99: "p99", ended: "ended", failed: "given up", ok: "at work",
  },
  tap: {
    title: "{source} → {target}", filter: "Filter", placeholder: "text, or = and CEL: = message.type == \"violations\"",
    pause: "Pause", resume: "Resume", shown: "{shown} of {seen} shown", perSecond: "{rate}/s", waiting: "Waiting for messages",
    copy: "Copy as JSON", none: "No message matches. {sampled} were looked at.",
  },
  cameras: {
    overlays: "What is drawn", picture: "Live picture of {name}", waiting: "waiting", facts: "{fps} fps · {delay} ms", all: "All cameras",
    none: "The flow has no cameras.", draw: "Draw", violations: "Violations as they happen", noViolations: "None since this page was opened.",
    shows: {
      boxes: "Boxes", labels: "Labels", footprints: "Footprints", trails: "Trails", zones: "Zones", lines: "Lines", signals: "Signals",
      violations: "Violations",
    },
  },
  scene: {
    title: "Scene {name}", none: "The flow has no scenes.", scene: "Scene", drawing: "Drawing over the picture", shapes: "Shapes",
    shape: "{name}, {kind}", undo: "Undo", redo: "Redo", snap: "Snap", freeze: "Freeze",
    readOnly: "This run shows scenes but does not edit them: start it with --edit scene.",
    tools: {
      title: "Tools", select: "Select", lanes: "Lane", zones: "Zone", crosswalks: "Crosswalk", lines: "Line", stop_line: "Stop line", lamps: "Lamp",
    },
    groups: {
      lanes: "lane", zones: "zone", crosswalk: "crosswalk", crosswalks: "crosswalk", lines: "line", stop_line: "stop line", lamps: "lamp",
    },
    kinds: {
      lane: "lane", crosswalk: "crosswalk", sidewalk: "sidewalk", carriageway: "carriageway", box: "box", conflict: "conflict area",
      no_stopping: "no stopping", intersection: "intersection", other: "other", stop_line: "stop line", entry: "entry", exit: "exit", count: "counting line",
    },
    help: {
      select: "Click a shape to select it. Drag its points, or the small dots between them to add one. Arrow keys move it, n goes to the next point, Delete removes it.",
      draw: "Click the corners in order; click the first one, or press Enter, to close. Escape gives up.",
    },
    properties: {
      title: "Properties", name: "Name", kind: "Kind", signal: "Signal group", limit_kmh: "Limit, km/h", direction: "Direction", approach: "Approach",
      heading: "Heading", noHeading: "none", bySeen: "By the traffic seen", seen: "Of {tracks} tracks, which agree by {percent} %.", nothingSeen: "Nothing moved there in the last minutes.", addHeading: "Add arrow", removeHeading: "Remove", remove: "Remove", fixed: "Part of this can't be edited here: it",
      lampHelp: "Drag each lens onto its light.", zoneHelp: "Drag the arrow in the direction of travel.", lineHelp: "Crossing from left to right, seen from 1 to 2, is forward.",
    },
    problems: { title: "Check", checking: "checking", none: "Nothing is wrong with it." },
    save: {
      open: "Save", title: "Save these changes into the file?", confirm: "Save", cancel: "Cancel", saving: "Saving", inForce: "In force.",
      refused: "Saved, but refused by the run, which goes on as it was.", took: "It took {ms} ms.", undo: "Undo the last save",
    },
    conflict: {
      text: "{file} was changed by an editor or another tab while you were drawing. Nothing was overwritten.",
      keep: "Put my changes on top of it", take: "Take the file, drop mine",
    },
  },
  events: {
    type: "Type", camera: "Camera", span: "Time", all: "all", violations: "all violations", hour: "last hour", day: "last day", week: "last week",
    time: "Time", what: "Event", who: "Road user", review: "Review", none: "Nothing was recorded in this time.",
    more: "There are more: choose a shorter time.", picture: "Picture of {kind}", noPicture: "There is no picture of it: rules save one with `snapshot: true`.",
    reason: "Reason", confirm: "Confirm", dismiss: "Dismiss", confirmed: "confirmed", dismissed: "dismissed", said: "{verdict}, {time}", open: "not reviewed",
    facts: "Facts",
  },
  services: {
    kinds: { mqtt: "Broker", influxdb: "Database", grafana: "Grafana" }, states: { up: "up", down: "down", none: "not configured" },
    without: {
      mqtt: "An embedded broker serves MQTT on this machine. Set MQTT_URL for one of your own.",
      influxdb: "The journal is the only store. Set INFLUX_URL, and what waits is delivered.",
      grafana: "There are no dashboards. `flowrt services init` prepares them.",
    },
    latency: "answers in {ms} ms", backlog: "What waits for delivery", waits: "{count} waiting", since: "for {time}", dead: "{count} dead letters",
    dashboards: "Dashboards", noGrafana: "The flow names no Grafana: add one to its `services`.",
  },
  calibrate: {
    title: "Calibration of {name}", point: "Point", pairs: "Pairs of points", worth: "What it is worth", residual: "off", leftOut: "left out",
    tools: { select: "Select", add: "Add point", held: "Check a distance" }, shows: { grid: "5 m grid", map: "Error map", top: "Top view" },
    again: "New still", taking: "Taking the traffic out", topView: "The road from above, as the fit sees it",
    rms: "residual, RMS", most: "residual, largest", height: "camera height", focal: "focal length",
    exact: "With four points the residuals are zero by construction and say nothing: give six or more.",
    help: "Add points that you know in metres: corners of markings, lamp posts, an orthophoto. Six or more, spread over the road.",
    speeds: "Speeds by lane:",
    measured: "Measured distance that is no part of the fit, m", heldHelp: "Choose \"Check a distance\" and click its two ends.",
    predicted: "The fit says {metres} m: {percent} %.", remove: "Remove point {number}",
  },
  preview: {
    title: "Preview", run: "Run the last minutes", running: "Running", same: "Nothing changes", of: "over the last {time}",
    help: "Change something, then see what the rules would have made of the last minutes, before it is saved.",
  },
};

export function say(text, values = {}) {
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}
