// In front of the dashboard, at Cloudflare: static files, whole and bounded bodies, whose a request is, and words when
// the app cannot answer. What it does not know it hands on as it came. deploy/cloudflare/README.md says how it is set up.

import { answer } from "./answers.js";
import { NotWhole, isForm, read, streamed, typedIn } from "./body.js";
import { METRICS, PROBES, WEBHOOK, limitOf } from "./limits.js";
import { HEADER, decoded, passUntil, visitorHeader } from "./signature.js";
import { fromEdge, mayBeKept } from "./static_files.js";

const PASS_PATH = "/.edge/pass";
const PASS_COOKIE = "__Host-edge-pass";
const IDLE_SECONDS = 20; // a body may pause that long
const ORIGIN_SECONDS = 55; // for the first byte of an answer: less than the load balancer's 60
const RETRY_SECONDS = 30;
const MAINTENANCE_SECONDS = 300; // where no end is said

const NOT_HANDED_ON = /^(TRACE|TRACK|CONNECT)$/; // no fetch takes them
const OPEN = /^(|off|no|0)$/i; // what MAINTENANCE is while there is none
// Of a connection, not of a request (RFC 9110, 7.6.1).
const HOP_BY_HOP = ["Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade"];
// What names an address, a host or another request than this one: the app is to believe none of it, and gets none.
const SPOOFABLE = /^(x-edge-.*|x-forwarded-.*|forwarded|via|cf-.*|cdn-loop|true-client-ip|x-real-ip|x-client-ip|x-cluster-client-ip|fastly-client-ip|x-original-.*|x-rewrite-url|x-http-method(-override)?|x-method-override|x-originating-ip|x-remote-(ip|addr)|x-host)$/;

export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    const asked = {
      path: url.pathname,
      method: request.method,
      isFragment: request.headers.has("HX-Request"),
      typed: [],
      reference: newReference(request),
    };
    try {
      return await handle(request, url, env, context, asked);
    } catch (error) {
      note("error", "broken", asked, { error: String(error), trace: error.stack });
      return answer("broken", asked);
    }
  },
};

async function handle(request, url, env, context, asked) {
  if (!env.EDGE_SECRET) throw new Error("EDGE_SECRET is not set: npx wrangler secret put EDGE_SECRET");
  if (asked.path === PASS_PATH) return givePass(url, env, asked);
  if (isMetrics(asked.path)) return answer("nothing", asked);
  if (NOT_HANDED_ON.test(asked.method)) return answer("no_such_method", asked);

  const contentType = request.headers.get("Content-Type") ?? "";
  const isTyped = isForm(contentType) && !asked.path.startsWith("/api/") && request.headers.get("Sec-Fetch-Site") !== "cross-site";
  const limit = limitOf(asked.path, request.headers);
  const idleSeconds = Number(env.IDLE_SECONDS) || IDLE_SECONDS;
  let bytes = null;
  try {
    const body = await read(request, limit, isTyped, idleSeconds);
    bytes = body.rest ? null : body.bytes;
    if (!OPEN.test(env.MAINTENANCE ?? "") && !PROBES.includes(asked.path) && !(await hasPass(request, env))) throw closed(env.MAINTENANCE);
    const ask = () => forward(request, env, context, asked, body, idleSeconds);
    return await (mayBeKept(request, url) ? fromEdge(request, url, context, ask) : ask());
  } catch (error) {
    if (!(error instanceof NotWhole || error instanceof Unanswered)) throw error;
    bytes = error instanceof NotWhole ? error.bytes : bytes;
    if (isTyped) asked.typed = bytes === null ? null : await typedIn(bytes, contentType);
    note(error.level ?? "warn", error.kind, asked, error.about);
    return answer(error.kind, asked, error.more);
  }
}

/** There is no answer of the app's. */
class Unanswered extends Error {
  constructor(kind, about = {}, more = { retryAfter: RETRY_SECONDS }, level = "error") {
    super(kind);
    Object.assign(this, { kind, about, more, level });
  }
}

async function forward(request, env, context, asked, body, idleSeconds) {
  const headers = await outgoing(request, env, asked);
  const longer = body.rest ? streamed(body, idleSeconds) : null;
  const stop = new AbortController();
  let timer;
  let isOver = false;
  const wait = () => {
    if (!isOver) timer = setTimeout(() => stop.abort(), (Number(env.ORIGIN_SECONDS) || ORIGIN_SECONDS) * 1000);
  };
  if (longer) context.waitUntil(longer.pumped.then(wait));
  else wait();
  let response;
  try {
    response = await fetch(request.url, {
      method: request.method,
      headers,
      body: isLook(asked) ? null : longer ? longer.stream : body.bytes, // a GET may bring one that nobody reads
      redirect: "manual",
      signal: stop.signal,
    });
  } catch (error) {
    throw new Unanswered(stop.signal.aborted ? "late" : "away", { error: String(error) });
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
  const kind = notOurs(response);
  if (!kind) return response;
  await response.body?.cancel();
  throw new Unanswered(kind, { origin: response.status });
}

const isLook = ({ method }) => method === "GET" || method === "HEAD";

/** Whether somebody else has answered in the app's place, Cloudflare (52x) or the load balancer, and what that means. */
function notOurs({ status, headers }) {
  if (status >= 520 && status <= 530) return status === 522 || status === 524 ? "late" : "away";
  if (headers.has("X-Request-Id")) return ""; // the app says so itself, in better words
  return { 502: "away", 503: "none", 504: "late" }[status] ?? "";
}

async function outgoing(request, env, asked) {
  const headers = new Headers(request.headers);
  const address = (headers.get("CF-Connecting-IP") ?? "").toLowerCase();
  const named = (headers.get("Connection") ?? "").split(",").map((name) => name.trim()).filter((name) => /^[\w-]+$/.test(name));
  headers.delete("Content-Length"); // that of the body that leaves is counted
  if (asked.path !== WEBHOOK) {
    for (const name of [...HOP_BY_HOP, ...named]) headers.delete(name);
    // The app's server takes X_Real_IP for X-Real-IP.
    for (const name of [...headers.keys()]) if (SPOOFABLE.test(name.replaceAll("_", "-"))) headers.delete(name);
  }
  for (const name of [...headers.keys()]) if (name.replaceAll("_", "-") === HEADER.toLowerCase()) headers.delete(name);
  if (/^[0-9a-f.:]{2,45}$/.test(address)) {
    const seconds = Math.floor(Date.now() / 1000);
    const { reference, method, path } = asked;
    headers.set(HEADER, await visitorHeader(env.EDGE_SECRET, { seconds, reference, address, method, path }));
  } else {
    note("error", "no address", asked); // the app refuses it
  }
  return headers;
}

function closed(setting) {
  const moment = new Date(setting);
  const until = moment > Date.now() ? moment : null; // `on`, or a time that is over: somebody has to end it all the same
  const seconds = until ? Math.max(Math.ceil((until - Date.now()) / 1000), RETRY_SECONDS) : MAINTENANCE_SECONDS;
  return new Unanswered("maintenance", {}, { until, retryAfter: seconds }, "log");
}

async function givePass(url, env, asked) {
  const pass = `${url.searchParams.get("until")}.${url.searchParams.get("mac")}`;
  const until = await passUntil(env.EDGE_SECRET, pass);
  if (!until) return answer("expired", asked);
  const seconds = Math.floor(until - Date.now() / 1000);
  const cookie = `${PASS_COOKIE}=${pass}; Path=/; Max-Age=${seconds}; Secure; HttpOnly; SameSite=Lax`;
  return new Response(null, { status: 303, headers: { Location: "/", "Set-Cookie": cookie, "Cache-Control": "no-store" } });
}

async function hasPass(request, env) {
  const sent = new RegExp(`(?:^|;\\s*)${PASS_COOKIE}=([^;]*)`).exec(request.headers.get("Cookie") ?? "");
  return sent !== null && (await passUntil(env.EDGE_SECRET, sent[1])) > 0;
}

/** However it is written: the app reads a path with its escapes taken away. */
function isMetrics(path) {
  return new TextDecoder().decode(decoded(path)) === METRICS;
}

/** Cloudflare's own name for the request where it has one, so that its logs, ours and the app's are found by one. */
function newReference(request) {
  const ray = /^[0-9a-f]{16}/.exec(request.headers.get("CF-Ray") ?? "");
  if (ray) return ray[0];
  return [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One line of JSON; no path, which may hold the token of a mailed link. */
function note(level, what, { reference, method }, about = {}) {
  console[level](JSON.stringify({ event: "edge answered", what, reference, method, ...about }));
}
