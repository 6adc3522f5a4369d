// Asks whether anything on the page has changed, as soon as app/web/poll_pace.py says. What is new htmx shows, which is
// fetched for it; what it would send is sent here. Comes with the first thing to follow.

"use strict"; // so that functions of a block are its own

let asking = false;

{
  let quietSince = 0; // the last news or act, by performance.now()
  let pollFrom = 0; // until somebody acts
  let busyUntil = 0; // whatever anybody does
  let seen; // of the tag; behind its dot stands the time
  let unshown = 0; // answers in a row that htmx did not come for
  let told; // the toast that says so

  const acted = () => {
    quietSince = performance.now();
    pollFrom = 0;
  };

  for (const name of ["click", "input", "keydown", "focus"]) addEventListener(name, acted, { passive: true });
  on("visibilitychange", acted);

  function addressOf(source) {
    const { hxGet, hxInclude } = source.dataset;
    const address = new URL(hxGet, document.baseURI);
    const asked = new FormData();
    for (const each of hxInclude ? document.querySelectorAll(hxInclude) : []) {
      if (each.matches("form")) for (const [name, value] of new FormData(each)) asked.append(name, value);
      else if (each.type !== "checkbox" || each.checked) asked.append(each.name, each.value);
    }
    const given = [...asked].filter(([, value]) => value !== "");
    for (const [name] of given) address.searchParams.delete(name);
    for (const [name, value] of given) address.searchParams.append(name, value);
    return address.pathname + address.search;
  }

  const named = ({ localName, id }) => `${localName}#${id}`;

  function headersOf(source) {
    const { hxTarget, hxPtag } = source.dataset;
    return {
      ...JSON.parse(document.body.getAttribute("data-hx-headers:inherited")),
      ...hxPtag && { "HX-PTag": hxPtag },
      "Accept": "text/html",
      "HX-Current-URL": location.href,
      "HX-Request": "true",
      "HX-Request-Type": "partial",
      "HX-Source": named(source),
      "HX-Target": named(hxTarget ? document.querySelector(hxTarget) : source),
      "X-Quiet-Seconds": Math.floor((performance.now() - quietSince) / 1000),
    };
  }

  async function ask(source) {
    const tag = source.dataset.hxPtag;
    const [news] = (tag ?? "").split(".");
    if (news !== seen) acted();
    seen = news;
    const asked = performance.now();
    if (document.hidden || signedOut || asked < Math.max(pollFrom, busyUntil)) return;
    const address = addressOf(source);
    let response, text;
    try {
      response = await fetch(address, { headers: headersOf(source), signal: AbortSignal.timeout(15000) });
      text = await response.text();
    } catch {
      return pollMissed();
    }
    const { headers, status } = response;
    const after = (name) => asked + 1000 * headers.get(name) - 500; // a tick may come a bit early
    busyUntil = after("Retry-After");
    if (quietSince <= asked) pollFrom = after("X-Poll-Again"); // else somebody acted meanwhile
    takeToken(headers);
    if (status === 304 || status >= 400 && status !== 401) return pollHeard(status);
    await wantHtmx();
    if (!ready) return withoutHtmx(status);
    unshown = 0;
    told?.remove();
    const isStale = !source.isConnected || source.dataset.hxPtag !== tag || addressOf(source) !== address;
    if (!isStale) htmx.trigger(source, "every", { response: new Response(text, response) }, false);
  }

  // htmx shows what was asked for here; when it would ask by itself it is not heard.
  on("htmx:config:request", (event) => {
    const { ctx } = event.detail;
    if (ctx.sourceEvent?.type !== "every") return;
    const { response } = ctx.sourceEvent.detail;
    if (response) ctx.fetch = async () => response;
    else event.preventDefault();
  });

  // Where htmx does not come, a page that nobody has begun to use is loaded anew, by the second answer that says so.
  function withoutHtmx(status) {
    pollHeard(status);
    if (status === 401) {
      const said = toast("You were signed out. Sign in in a new tab, then go on here: what you wrote stays.", "alert");
      return said.toggleAttribute("data-signed-out");
    }
    unshown += 1;
    const used = changed.size || draftForms().some(isUnkept) || document.activeElement !== document.body;
    if (unshown > 1 && !used) location.reload();
    if (unshown === 2 && used) told = toast("Something on this page has changed. Load it again to see it.", "status");
  }

  const followed = () => document.querySelector("[data-hx-trigger^=every]");
  const tickLater = () => setTimeout(tick, 1000 * (followed()?.dataset.hxTrigger.match(/\d+/)[0] ?? 3));

  function tick() {
    tickLater();
    const source = followed();
    if (!source || asking) return;
    asking = true;
    ask(source).finally(() => { asking = false; });
  }

  tickLater();
}
