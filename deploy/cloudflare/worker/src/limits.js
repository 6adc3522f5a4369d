// How much of a body is let through, by where it goes: the limits of the app, which knows better and judges again.
// tests/edge/test_words.py compares them with app/web/admission.py, app/web/files.py and app/routes.

const KIB = 1024;
const MIB = 1024 * KIB;

export const WEBHOOK = "/api/stripe/webhook";
export const PROBES = ["/livez", "/readyz", "/healthz", "/healthz/as-seen"];
export const METRICS = "/metrics"; // of one server, for who asks it by its own address

export const LIMITS = {
  webhook: 256 * KIB,
  call: 64 * KIB, // of the JSON API
  file: 10 * MIB, // of a result, sent by a program
  stranger: 256 * KIB, // a form of a browser that has no session here: a sign-in may carry a text along
  form: 8 * MIB, // the app gives back in its own page what is longer than it takes, up to here
  upload: 256 * MIB, // a form with files; the plan at Cloudflare may allow less
};
// So much of a body is here before any of it goes on; the rest of an upload follows as it comes. And so much of a form
// that is refused is shown again.
export const KEPT = 10 * MIB;

const UPLOADS = /^\/(admin\/tasks\/[^/]+\/complete|tasks\/batch)$/;
const FILES = /^\/api\/admin\/tasks\/[^/]+\/files$/;
const SESSION = /(^|;\s*)(__Host-)?session=/;

/** How many bytes a request may bring. */
export function limitOf(path, headers) {
  if (path === WEBHOOK) return LIMITS.webhook;
  if (path.startsWith("/api/")) return FILES.test(path) ? LIMITS.file : LIMITS.call;
  if (!SESSION.test(headers.get("Cookie") ?? "")) return LIMITS.stranger;
  return UPLOADS.test(path) ? LIMITS.upload : LIMITS.form;
}
