// Runs panels through Grafana's own data code, @grafana/data: transformations, overrides, units, mappings, and what a stat shows.
// node grafana_data.mjs NODE_MODULES < {"panels": [{"panel": …, "frames": [{"name", "refId", "fields": […]}]}]} > answers, one a panel.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
const require = createRequire(`${resolve(process.argv[2])}/`);
const { JSDOM } = require("jsdom");
const page = new JSDOM("<!doctype html>", { url: "http://localhost/" }).window;
for (const name of ["document", "HTMLElement", "Element", "Node", "localStorage", "DOMParser", "navigator"])
  Object.defineProperty(globalThis, name, { value: page[name], configurable: true });
globalThis.window = page;
console.log = console.info = console.error; // a dependency greets on standard output
const grafana = require("@grafana/data");
const { lastValueFrom } = require("rxjs");

grafana.standardTransformersRegistry.setInit(() =>
  [...new Map(Object.values(grafana.standardTransformers).map((one) => [one.id, one])).values()].map((one) => ({ id: one.id, name: one.name, transformation: one })));
const processors = {
  unit: grafana.stringOverrideProcessor, min: grafana.numberOverrideProcessor, max: grafana.numberOverrideProcessor,
  decimals: grafana.numberOverrideProcessor, displayName: grafana.displayNameOverrideProcessor,
  color: grafana.identityOverrideProcessor, noValue: grafana.stringOverrideProcessor, links: grafana.identityOverrideProcessor,
  mappings: grafana.identityOverrideProcessor, thresholds: grafana.identityOverrideProcessor,
};
const option = (id, process, isCustom) => ({
  id: isCustom ? `custom.${id}` : id, path: id, name: id, isCustom, process, shouldApply: () => true,
  override: () => null, editor: () => null, settings: {},
});
const fieldConfigRegistry = new grafana.FieldConfigOptionsRegistry(() => [
  ...Object.entries(processors).map(([id, process]) => option(id, process, false)),
  option("cellOptions", grafana.identityOverrideProcessor, true),
]);
const theme = grafana.createTheme();
const replaceVariables = (text) => text;

async function show({ panel, frames }) {
  let data = frames.map((frame) => grafana.toDataFrame(frame));
  data = await lastValueFrom(grafana.transformDataFrame(panel.transformations ?? [], data, { interpolate: replaceVariables }));
  data = grafana.applyFieldOverrides({
    data, fieldConfig: panel.fieldConfig, replaceVariables, theme, fieldConfigRegistry, timeZone: "utc",
  });
  const answer = { title: panel.title, frames: data.map((frame) => shown(frame, data)) };
  if (panel.options.reduceOptions)
    answer.values = grafana.getFieldDisplayValues({
      data, fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, replaceVariables, theme, timeZone: "utc",
    }).map((value) => ({ title: value.display.title, text: grafana.formattedValueToString(value.display), color: value.display.color }));
  return answer;
}

function shown(frame, all) {
  const columns = frame.fields.map((field) => ({
    name: grafana.getFieldDisplayName(field, frame, all),
    type: field.type,
    cell: field.config.custom?.cellOptions?.type ?? "",
    values: [...field.values].slice(0, 50).map((value) => {
      const display = field.display(value);
      return { text: grafana.formattedValueToString(display), color: display.color };
    }),
  }));
  const linked = frame.length
    ? frame.fields.flatMap((field) => (field.config.links ?? []).map((link) => followed(link.url, field, frame)))
    : [];
  return { name: frame.name, columns, links: linked };
}

// What a data link's variables stand for in the first row.
function followed(url, field, frame) {
  const row = { fields: grafana.getFieldDisplayValuesProxy({ frame, rowIndex: 0 }) };
  return url.replace(/\$\{__data\.fields\.(\w+)(:\w+)?\}/g, (_, name, format) => {
    const text = String(row.fields[name]);
    return format === ":percentencode" ? encodeURIComponent(text) : text;
  }).replace("${__value.raw}", field.values[0]);
}

const asked = JSON.parse(readFileSync(0, "utf-8"));
const panels = [];
for (const one of asked.panels) panels.push(await show(one));
process.stdout.write(JSON.stringify({
  panels,
  units: grafana.getValueFormats().flatMap((group) => group.submenu.map((unit) => unit.value)),
  transformations: Object.values(grafana.DataTransformerID),
  matchers: Object.values(grafana.FieldMatcherID),
  colors: grafana.fieldColorModeRegistry.list().map((mode) => mode.id),
}));
