// What is answered here, in words: a page, a fragment for HTMX, or JSON under /api. No script, no file of the app's.

const STYLE = `
:root{color-scheme:light dark;--paper:light-dark(#f5efe3,#171511);--sheet:light-dark(#fffcf5,#211e18);--ink:light-dark(#211d16,#f0e9da);--soft:light-dark(#665c4b,#b3a892);--line:light-dark(#dccfb8,#3d372c);--edge:light-dark(#94866c,#82775f);--leaf:light-dark(#17583f,#94d2ae);--on-leaf:light-dark(#fffcf5,#10251b);--note:light-dark(#14442f,#123829)}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;background:var(--paper);color:var(--ink);font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;overflow-wrap:break-word}
header{border-bottom:1px solid var(--line);padding:1.25rem max(1rem,(100% - 70rem)/2 + 1rem)}
.brand{font:500 1.25rem/1 "Iowan Old Style","Palatino Linotype",Palatino,Georgia,serif;color:var(--ink);text-decoration:none}
.brand b{margin-left:.12em;font-size:.68em;font-weight:600;letter-spacing:.1em;color:var(--leaf)}
main{max-width:31rem;margin-inline:auto;padding:2.25rem 1rem 3.5rem}
.code{width:11rem;margin:0 0 1.75rem;padding:1rem 1.5rem;background:var(--note);color:#f3eedd;font:500 4.5rem/1.1 Georgia,serif;clip-path:polygon(0 0,92% 0,96% 9%,90% 21%,97% 34%,92% 47%,98% 60%,91% 72%,96% 85%,90% 100%,0 100%)}
h1,h2{font-family:"Iowan Old Style","Palatino Linotype",Palatino,Georgia,serif;font-weight:600;line-height:1.2;text-wrap:balance}
h1{margin:0 0 .75rem;font-size:clamp(1.625rem,1.35rem + 1.2vw,2.125rem)}
h2{margin:2.25rem 0 .5rem;font-size:1.3125rem}
p{margin:0 0 1rem}
label{display:block;margin:1rem 0 .25rem;font-weight:600}
textarea{width:100%;min-height:8rem;padding:.5rem .75rem;border:1px solid var(--edge);border-radius:6px;background:var(--sheet);color:var(--ink);font:inherit}
.button{display:inline-flex;align-items:center;min-height:2.75rem;padding:.45rem 1.15rem;border-radius:6px;background:var(--leaf);color:var(--on-leaf);font-weight:600;text-decoration:none}
:focus-visible{outline:3px solid var(--leaf);outline-offset:2px;border-radius:3px}
.muted{color:var(--soft);font-size:.875rem}
@media (forced-colors:active){.code,.button{border:1px solid}}
`;

const REFUSED = "Nothing of it was taken, and nothing was charged.";
const LOOKED = "Nothing was charged by opening this page.";

/** Each: status, code for programs, title, sentence, and what became of it where something was sent. */
export const KINDS = {
  too_large: [413, "too_large", "That is too much at once", "What you sent is larger than we accept. Shorten it, or split it into several tasks.", REFUSED],
  too_slow: [408, "too_slow", "That did not arrive whole", "It stopped on its way to us, and we waited for the rest in vain. Your connection may be slow: please send it again.", REFUSED],
  broken_off: [400, "malformed", "That did not arrive whole", "It broke off on its way to us. Please send it again.", REFUSED],
  maintenance: [503, "maintenance", "We are working on this", "The dashboard is closed for a short while. Your credits and tasks are safe.", REFUSED],
  away: [502, "unreachable", "We cannot answer right now", "Our server does not answer.", "It is not known whether what you sent arrived: look at your history before you send it again. It is there and charged once, or it was never charged."],
  late: [504, "too_late", "This takes too long", "Our server has not answered in time.", "It is not known whether what you sent arrived: look at your history before you send it again. It is there and charged once, or it was never charged."],
  none: [503, "unreachable", "We cannot answer right now", "None of our servers is ready.", REFUSED],
  no_such_method: [405, "method_not_allowed", "That is not how this page works", "It cannot be opened like this.", REFUSED],
  nothing: [404, "not_found", "There is nothing here", "The address is wrong, or what was here is gone.", ""],
  expired: [410, "expired", "This link has expired", "It is too old, or it was never good. Ask for a new one.", ""],
  broken: [500, "internal", "Something broke on our side", "It is not your doing, and it has been noted.", "If you were submitting a task, look at your history first: it is there and charged once, or it was never charged."],
};

/** `asked`: { path, method, isFragment, typed, reference }; `until`: a Date, for maintenance. */
export async function answer(kind, asked, { until = null, retryAfter = 0 } = {}) {
  const [status, code, title, sentence, became] = KINDS[kind];
  const opened = asked.method === "GET" || asked.method === "HEAD";
  const when = until ? ` It is expected back by ${clock(until)}.` : "";
  const words = `${sentence}${when} ${opened ? LOOKED : became}`;
  const headers = new Headers({
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Request-Id": asked.reference,
  });
  if (retryAfter) headers.set("Retry-After", String(retryAfter));
  let body;
  if (asked.path.startsWith("/api/")) {
    headers.set("Content-Type", "application/json");
    body = JSON.stringify({ error: kind === "too_large" ? "That is too large." : words, code });
  } else {
    headers.set("Content-Type", "text/html; charset=utf-8");
    headers.set("Content-Security-Policy", await policy());
    headers.set("Vary", "HX-Request");
    body = asked.isFragment ? toast(words, asked.reference) : page(status, title, words, asked, until);
  }
  return new Response(asked.method === "HEAD" ? null : body, { status, headers });
}

/** As app/templates/errors/_toast.html has it: the open page stays, with what was typed in it. */
function toast(words, reference) {
  return `<div id="toasts" role="status" data-hx-swap-oob="innerHTML">
<div class="toast bad" role="alert">
<p>${escaped(words)} <span class="muted">Reference: ${escaped(reference)}</span></p>
<button type="button" class="quiet" data-close>Close</button>
</div>
</div>
`;
}

export function page(status, title, words, asked, until = null) {
  const back = asked.method === "GET" ? `<p><a class="button" href="">Try again</a></p>` : "";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${escaped(title)} · ImpacterAGI</title>
<style>${STYLE}</style>
</head>
<body>
<header><a class="brand" href="/">Impacter<b>AGI</b></a></header>
<main>
<p class="code" aria-hidden="true">${status}</p>
<h1>${escaped(title)}</h1>
<p>${escaped(words)}</p>
${back}${kept(asked)}<p class="muted">Reference: <code>${escaped(asked.reference)}</code></p>
</main>
</body>
</html>
`;
}

function kept({ method, typed }) {
  if (method === "GET" || method === "HEAD") return "";
  if (typed === null) return "<p>Your browser still has what you wrote: go back to the form.</p>\n";
  if (!typed.length) return "";
  const fields = typed.map(([name, text], place) => {
    const label = name.replaceAll("_", " ").trim();
    return `<label for="kept-${place}">${escaped(label.charAt(0).toUpperCase() + label.slice(1))}</label>
<textarea id="kept-${place}" readonly dir="auto">
${escaped(text)}</textarea>
`;
  });
  return `<h2>What you wrote</h2>
<p>Copy it from here: nothing of it is lost.</p>
${fields.join("")}`;
}

function escaped(text) {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** In UTC and by date: nobody's clock is known here. */
function clock(moment) {
  const [date, time] = moment.toISOString().split("T");
  return `${time.slice(0, 5)} UTC on ${date}`;
}

let known;

async function policy() {
  if (!known) {
    const sum = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(STYLE));
    const hash = btoa(String.fromCharCode(...new Uint8Array(sum)));
    known = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
  }
  return known;
}
