// Static files under an address with the hash of what they hold are kept at the edge; everything else passes.

const KEPT = /^\?v=[0-9a-f]{12}$/; // HASH_CHARACTERS of app/web/static_files.py

export function mayBeKept(request, url) {
  return request.method === "GET" && !request.headers.has("Range") && url.pathname.startsWith("/static/") && KEPT.test(url.search);
}

/** The kept answer, else that of `ask`, kept where the app says that it may be for ever: only its own hash is that. */
export async function fromEdge(request, url, context, ask) {
  const key = new Request(`${url.origin}${url.pathname}${url.search}&encoding=${encodingOf(request)}`, {
    headers: picked(request.headers, ["If-None-Match", "If-Modified-Since"]),
  });
  const kept = await caches.default.match(key);
  if (kept) return kept;
  const answer = await ask();
  const control = answer.headers.get("Cache-Control") ?? "";
  if (answer.status === 200 && /\bimmutable\b/.test(control) && !answer.headers.has("Set-Cookie")) {
    context.waitUntil(caches.default.put(key.url, answer.clone()));
  }
  return answer;
}

/** What the app would answer in: the best that it has and this client reads. */
function encodingOf(request) {
  const accepted = request.headers.get("Accept-Encoding") ?? "";
  return ["br", "gzip"].find((name) => reads(accepted, name)) ?? "identity";
}

function reads(accepted, name) {
  return accepted.split(",").some((part) => {
    const [coding, ...parameters] = part.trim().toLowerCase().split(/\s*;\s*/);
    return coding === name && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}

function picked(headers, names) {
  return new Headers(names.filter((name) => headers.has(name)).map((name) => [name, headers.get(name)]));
}
