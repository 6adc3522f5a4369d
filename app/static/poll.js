// How soon a page asks again, by app/web/poll_pace.py: htmx's ticks until then are skipped. Comes with htmx, maybe twice.

{
  const isTick = (ctx) => ctx?.sourceEvent?.type === "every";
  let quietSince = 0; // the last news or act, by performance.now()
  let pollFrom = 0; // until somebody acts
  let busyUntil = 0; // whatever anybody does
  let seen; // of the tag; behind its dot stands the time

  const acted = () => {
    quietSince = performance.now();
    pollFrom = 0;
  };

  for (const name of ["click", "input", "keydown", "focus"]) addEventListener(name, acted, { passive: true });
  on("visibilitychange", acted);

  on("htmx:config:request", ({ detail: { ctx } }) => {
    if (!isTick(ctx)) return;
    const [tag] = (ctx.sourceElement.dataset.hxPtag ?? "").split(".");
    if (tag !== seen) acted();
    seen = tag;
    ctx.asked = performance.now();
    ctx.request.headers["X-Quiet-Seconds"] = Math.floor((ctx.asked - quietSince) / 1000);
  });

  on("htmx:before:request", (event) => {
    const { ctx } = event.detail;
    if (isTick(ctx) && ctx.asked < Math.max(pollFrom, busyUntil)) event.preventDefault();
  });

  on("htmx:after:request", ({ detail: { ctx } }) => {
    if (!isTick(ctx)) return;
    const after = (name) => ctx.asked + 1000 * ctx.response.headers.get(name) - 500; // a tick may come a bit early
    busyUntil = after("Retry-After");
    if (quietSince <= ctx.asked) pollFrom = after("X-Poll-Again"); // else somebody acted meanwhile
  });
}
