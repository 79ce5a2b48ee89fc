// Node-RED without editor, HTTP and storage beyond a temporary folder, with one ring per mode and length in it.
//   node ring.js async|sync '[1,5,20]'
// A ring is a gate and the nodes behind it. A line {"mode","nodes","window","messages"} on standard input lets `window` messages
// go round until `messages` have come back to the gate; the answer is {"wall_s","cpu_s"}.
"use strict";

const fs = require("fs");
const http = require("http");
const os = require("os");
const path = require("path");
const readline = require("readline");
const RED = require("node-red");

const sync = process.argv[2] === "sync";
const lengths = JSON.parse(process.argv[3]);
const MODES = ["function", "change", "junction"];

function passing(mode, id, next) {
  const place = { id, z: "tab", x: 0, y: 0, wires: [[next]] };
  if (mode === "function") {
    return { ...place, type: "function", name: "", func: "return msg;", outputs: 1, timeout: 0, noerr: 0, initialize: "", finalize: "", libs: [] };
  }
  if (mode === "change") {
    return { ...place, type: "change", name: "", rules: [{ t: "set", p: "payload", pt: "msg", to: "1", tot: "num" }] };
  }
  return { ...place, type: "junction" };
}

function rings() {
  const flow = [{ id: "tab", type: "tab", label: "rings", disabled: false }];
  for (const mode of MODES) {
    for (const length of lengths) {
      const name = `${mode}${length}`;
      flow.push({ id: name, z: "tab", type: "gate", x: 0, y: 0, wires: [[`${name}n0`]] });
      for (let i = 0; i < length; i++) {
        flow.push(passing(mode, `${name}n${i}`, i + 1 < length ? `${name}n${i + 1}` : name));
      }
    }
  }
  return flow;
}

const home = fs.mkdtempSync(path.join(os.tmpdir(), "ring-"));
process.on("exit", () => fs.rmSync(home, { recursive: true, force: true }));
fs.writeFileSync(path.join(home, "flows.json"), JSON.stringify(rings()));
const server = http.createServer();
RED.init(server, {
  userDir: home,
  flowFile: path.join(home, "flows.json"),
  nodesDir: path.join(__dirname, "nodes"),
  httpAdminRoot: false,
  httpNodeRoot: false,
  disableEditor: true,
  credentialSecret: false,
  runtimeSyncDelivery: sync,
  telemetry: { enabled: false, updateNotification: false },
  logging: { console: { level: "off", metrics: false, audit: false } },
});

async function serve() {
  await RED.start();
  await new Promise((resolve) => {
    const look = () => (RED.nodes.getNode("function1") ? resolve() : setTimeout(look, 50));
    look();
  });
  console.log(JSON.stringify({ ready: true }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    const gate = RED.nodes.getNode(`${asked.mode}${asked.nodes}`);
    console.log(JSON.stringify(await gate.turn(asked.window, asked.messages)));
  }
  process.exit(0);
}

serve();
