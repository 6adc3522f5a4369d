// The Worker on this machine, in Cloudflare's own runtime, before a server that runs here: for tests and for a look.
//   node local.mjs --origin 127.0.0.1:8000 [--port 8787] [--var NAME=VALUE ...]
// Says where it answers in one line. A line of JSON on the standard input ({"MAINTENANCE": "on"}) changes variables.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Log, LogLevel, Miniflare } from "miniflare";

const { values } = parseArgs({
  options: {
    origin: { type: "string" },
    port: { type: "string", default: "0" },
    var: { type: "string", multiple: true, default: [] },
  },
});
if (!values.origin) {
  console.error("Say what it stands before: --origin 127.0.0.1:8000");
  process.exit(2);
}

const here = fileURLToPath(new URL(".", import.meta.url));
const settings = JSON.parse(readFileSync(`${here}wrangler.jsonc`, "utf8").replaceAll(/^\s*\/\/.*$/gm, ""));
const bindings = { ...settings.vars, ...Object.fromEntries(values.var.map((pair) => pair.split(/=(.*)/s, 2))) };
const options = () => ({
  modules: true,
  modulesRoot: here,
  modulesRules: [{ type: "ESModule", include: ["**/*.js"] }],
  scriptPath: `${here}${settings.main}`,
  compatibilityDate: settings.compatibility_date,
  bindings,
  host: "127.0.0.1",
  port: Number(values.port),
  cf: false, // or it would ask the network what Cloudflare says of this machine
  outboundService: { external: { address: values.origin, http: {} } }, // as the route leads to the origin
  log: new Log(LogLevel.WARN),
  logRequests: false,
});

const front = new Miniflare(options());
console.log(String(await front.ready));
for await (const line of createInterface({ input: process.stdin })) {
  Object.assign(bindings, JSON.parse(line));
  await front.setOptions(options());
  console.log(String(await front.ready));
}
await front.dispose(); // whoever started it has gone
