// Prints what the AsyncAPI parser finds wrong with a document, as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
const require = createRequire(`${resolve(process.argv[3])}/`);
const { Parser } = require("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf-8"));
console.log(JSON.stringify({
  diagnostics: diagnostics.map((d) => ({ severity: d.severity, message: d.message, path: d.path.join(".") })),
  channels: document ? document.channels().all().map((c) => c.address()) : [],
}));
