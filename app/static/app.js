// What HTML and HTMX cannot say for themselves on the signed-in pages. No page depends on this file.

const byId = (id) => document.getElementById(id);
const on = (name, handler, capture) => document.addEventListener(name, handler, capture);
const isPoll = (ctx) => ctx?.sourceEvent?.type === "every" || ctx?.sourceElement?.hasAttribute("data-quiet");
const isKeep = (ctx) => ctx?.sourceEvent?.type === "keep";

// After sign-out, Back must not bring a private page out of the back-forward cache.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// --- htmx: fetched when something on the page wants it. Without it links and forms are plain, and follow.js asks ---

const { htmx: library, follow: follower } = document.currentScript.dataset;
const shown = location.pathname + location.search;
const changed = new Map(); // fields that were changed before htmx could see it, and by which event
let fetched; // a promise that never fails: what it came to says `ready`
let following; // another, of follow.js
let ready = false;
let held = false; // a click or a submit waits for htmx
let plainly = false; // it has waited, and goes on whatever came

// Only htmx may turn a string into markup. It has no createScript: a script inside an answer never runs.
const policy = window.trustedTypes?.createPolicy("htmx", {
  createHTML: (html) => html,
  createScriptURL: (url) => [library, follower].includes(url) ? url : "about:blank",
});

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function part(address) {
  return new Promise((resolve) => {
    const script = document.createElement("script");
    script.onload = () => resolve(true);
    script.onerror = () => resolve(false);
    script.src = policy ? policy.createScriptURL(address) : address;
    document.head.append(script);
  });
}

async function follow() {
  if (!await part(follower)) setTimeout(() => { following = follow(); }, 5000);
}

const wantToFollow = () => following ??= follow();

async function fetchHtmx() {
  wantToFollow();
  if (!await part(library)) return setTimeout(() => { fetched = undefined; }, 5000); // then it may be tried again
  htmx.registerExtension("trusted-types", { init(api) { if (policy) api.initSecurity(policy); } });
  await Promise.all([following, wait(0)]); // it looks at the page in a timer of its own
  ready = true;
  for (const [field, type] of changed) field.dispatchEvent(new Event(type, { bubbles: true }));
}

const wantHtmx = () => fetched ??= fetchHtmx();

for (const name of ["pointerdown", "keydown", "focusin", "input"]) addEventListener(name, wantHtmx, { once: true, passive: true });
on("pointerover", ({ target }) => { if (!ready && target.closest("a, button, form")) wantHtmx(); });
addEventListener("load", () => { if (document.querySelector("[data-hx-trigger^=every]")) wantToFollow(); });
for (const name of ["input", "change"]) on(name, ({ target, type }) => { if (!ready) changed.set(target, type); });

// htmx reloads for Back and Forward between addresses that it has put there; after a reload it may not be here yet.
addEventListener("popstate", () => { if (!ready && location.pathname + location.search !== shown) location.reload(); });

function hold(event, again) {
  if (ready || plainly) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (held) return;
  held = true;
  Promise.race([wantHtmx(), wait(2000)]).then(() => setTimeout(() => { // behind this event: a form fires one at a time
    held = false;
    plainly = true;
    again();
    plainly = false;
  }));
}

on("submit", (event) => {
  const { target: form, submitter } = event;
  if (form.matches("[data-hx-get], [data-hx-post]") && !submitter?.hasAttribute("formaction")) {
    hold(event, () => form.requestSubmit(submitter));
  }
}, true);

on("click", (event) => {
  const link = event.target.closest("a[data-hx-get]");
  if (link && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey)) hold(event, () => link.click());
}, true);

// --- Toasts: for what has no place of its own on the page ---

function toast(words, role) {
  const box = document.createElement("div");
  const text = document.createElement("p");
  const close = document.createElement("button");
  text.textContent = words;
  close.type = "button";
  close.className = "quiet";
  close.dataset.close = "";
  close.textContent = "Close";
  box.className = `toast ${role === "alert" ? "bad" : ""}`;
  box.setAttribute("role", role);
  box.append(text, close);
  byId("toasts").replaceChildren(box);
  return box;
}

// --- Requests ---

let missed = 0;
let signedOut = false; // polls wait until somebody looks at the page again

on("htmx:config:request", ({ detail: { ctx } }) => {
  if (ctx.request.method !== "GET") return;
  for (const [name, value] of [...ctx.request.body]) if (value === "") ctx.request.body.delete(name);
});

on("htmx:before:request", (event) => {
  if (isPoll(event.detail.ctx) && (document.hidden || signedOut)) event.preventDefault();
});

function heard(status) {
  signedOut = status === 401;
  if (!signedOut && byId("toasts").querySelector("[data-signed-out]")) byId("toasts").replaceChildren();
}

// A poll that fails says so once, quietly, and the page stays as it was. What a 401 says is for the toasts.
function pollHeard(status) {
  heard(status);
  if (signedOut) return;
  if (status >= 400) return pollMissed();
  if (missed > 1) byId("toasts").replaceChildren();
  missed = 0;
}

on("htmx:before:swap", (event) => {
  const { ctx } = event.detail;
  const { status } = ctx.response;
  (isPoll(ctx) ? pollHeard : heard)(status);
  const failed = isPoll(ctx) ? status >= 400 && !signedOut : isKeep(ctx) && status > 401; // that is said in its form
  if (failed) event.preventDefault();
});

document.addEventListener("visibilitychange", () => { signedOut &&= document.hidden; });

// --- After signing in again in another tab: the token that fits, and once more what was refused for want of it ---

function takeToken(responseHeaders) {
  const token = responseHeaders.get("X-CSRF-Token");
  if (!token) return false;
  for (const field of document.querySelectorAll("input[name=csrf_token]")) field.value = token;
  const name = "data-hx-headers:inherited";
  const headers = JSON.parse(document.body.getAttribute(name));
  document.body.setAttribute(name, JSON.stringify({ ...headers, "X-CSRFToken": token }));
  return true;
}

on("htmx:after:request", ({ detail: { ctx } }) => {
  if (!takeToken(ctx.response.headers)) return;
  const form = ctx.sourceElement;
  if (ctx.response.status === 400 && ctx.request.method === "POST" && !form.dataset.again) {
    form.dataset.again = "yes"; // once: a token that is refused again is not this page's fault
    ctx.refused = form;
  }
});

on("htmx:finally:request", ({ detail: { ctx } }) => {
  if (ctx.refused) {
    byId("toasts").replaceChildren();
    setTimeout(() => isKeep(ctx) ? keep(ctx.draft.form) : ctx.refused.requestSubmit(), 50);
  } else if (ctx.response?.ok) delete ctx.sourceElement?.dataset.again;
});

function pollMissed() {
  missed += 1;
  if (missed === 2) toast("Live updates are paused. Still trying.", "status");
}

on("htmx:error", ({ detail: { ctx } }) => {
  if (!ctx) return;
  if (isPoll(ctx)) return pollMissed();
  if (isKeep(ctx)) return kept(ctx, 0);
  toast(ctx.request.method === "GET"
    ? "No answer from the server. Please try again."
    : "No answer from the server. Try again: the same task is never charged twice.", "alert");
});

// A disabled button gives up the focus, so put it where the answer wants it.
on("htmx:finally:request", ({ detail: { ctx } }) => {
  if (isPoll(ctx) || document.activeElement !== document.body) return;
  const wanted = byId("main").querySelector("[data-refocus]");
  wanted?.focus({ preventScroll: wanted.dataset.refocus === "still" });
});

// --- Drafts: the words of a form[data-draft] are kept by the server a second after the last key ---

const drafts = new WeakMap(); // of a form: how often its words changed, up to which change they are kept, as which page
const draftForms = () => [...document.querySelectorAll("form[data-draft]")];
const isUnkept = (form) => draftOf(form).kept !== draftOf(form).changes;

function draftOf(form) {
  if (!drafts.has(form)) drafts.set(form, { changes: 0, kept: 0, number: 0, misses: 0 });
  return drafts.get(form);
}

function keepIn(form, milliseconds) {
  const draft = draftOf(form);
  clearTimeout(draft.timer);
  draft.timer = setTimeout(keep, milliseconds, form);
}

function keep(form) {
  clearTimeout(draftOf(form).timer);
  if (!form.isConnected) return;
  const target = form.querySelector("[data-draft-line]");
  if (ready) return htmx.trigger(target, "keep");
  wantHtmx().then(() => ready ? keep(form) : kept({ draft: { form, changes: -1 }, target }, 0));
}

on("input", ({ target }) => {
  const form = target.form;
  if (!form?.hasAttribute("data-draft") || target.type === "file") return;
  draftOf(form).changes += 1;
  keepIn(form, 1000 + (target.value.length > 10000 ? 2000 : 0));
});

on("htmx:config:request", ({ detail: { ctx } }) => {
  if (!isKeep(ctx)) return;
  const form = ctx.sourceElement.closest("form");
  const draft = draftOf(form);
  const mark = form.elements.draft;
  const [place, ...pages] = mark.value.split(" ");
  if (!draft.page || draft.page !== pages[0]) {
    draft.page = Math.random().toString(36).slice(2).padEnd(8, "0");
    mark.value = [place, draft.page, ...pages].join(" ");
  }
  const { body } = ctx.request;
  for (const [name, value] of [...body]) if (value instanceof File) body.delete(name);
  body.set("draft", mark.value);
  body.set("number", draft.number += 1);
  ctx.draft = { form, changes: draft.changes };
});

on("htmx:after:request", ({ detail: { ctx } }) => { if (isKeep(ctx)) kept(ctx, ctx.response.status); });

// After a try to keep what was typed: `status` of the answer, 0 when there was none.
function kept(ctx, status) {
  const { form, changes } = ctx.draft;
  const draft = draftOf(form);
  if (ctx.refused) return; // it goes out again by itself
  ctx.target.classList.toggle("unkept", status >= 300 || !status);
  if (status && status < 300) Object.assign(draft, { kept: changes, misses: 0 });
  else if (status === 409) Object.assign(draft, { page: "" }, keepIn(form, 0)); // sent by then: this is another draft
  else if (status === 413 || status === 422) {
    ctx.target.textContent = "This cannot be kept as you type. Send it, or copy it, before you leave this page.";
  } else if (status === 401) ctx.target.textContent = "Not kept: you were signed out. What you wrote stays here.";
  else {
    ctx.target.textContent = "Not kept yet. What you wrote stays here, and we try again.";
    keepIn(form, 1000 * 2 ** Math.min(draft.misses += 1, 6));
  }
  const { waits } = draft;
  delete draft.waits;
  if (!waits || status === 400 || status === 401) return;
  if (!status) return toast("No answer from the server. What you wrote is still here: try again.", "alert");
  draft.goes = true;
  form.requestSubmit(waits.submitter);
}

on("htmx:before:request", ({ detail: { ctx } }) => {
  if (ctx.sourceElement.matches("form[data-draft]")) clearTimeout(draftOf(ctx.sourceElement).timer);
});

on("htmx:finally:request", ({ detail: { ctx } }) => {
  const form = ctx.sourceElement;
  if (form.isConnected && form.matches("form[data-draft]") && isUnkept(form)) keepIn(form, 1000);
});

document.addEventListener("visibilitychange", () => draftForms().filter(isUnkept).forEach(keep));

addEventListener("beforeunload", (event) => { if (draftForms().some(isUnkept)) event.preventDefault(); });

// --- Forms ---

on("submit", (event) => {
  const form = event.target;
  // A button with an address of its own leaves the page the plain way, past htmx; so do files, which take their time.
  const withFiles = [...form.elements].some((field) => field.files?.length);
  const plain = !ready || event.submitter?.hasAttribute("formaction") || !form.hasAttribute("data-hx-post") || withFiles;
  if (!plain || form.method !== "post") return;
  event.stopImmediatePropagation();
  if (form.dataset.sent) return event.preventDefault();
  const draft = draftOf(event.submitter?.closest("form[data-draft]") ?? form);
  if (ready && form.hasAttribute("data-draft") && !draft.goes) {
    draft.waits = { submitter: event.submitter };
    keep(form);
    return event.preventDefault();
  }
  Object.assign(draft, { goes: false, kept: draft.changes });
  clearTimeout(draft.timer);
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, 8000);
}, true);

function countCharacters(area) {
  const counter = byId(area.dataset.counter);
  const limit = Number(area.dataset.limit);
  const length = [...area.value].length;
  counter.textContent = `${length.toLocaleString("en")} of ${limit.toLocaleString("en")}`;
  counter.classList.toggle("over", length > limit);
}

// Size and number of files are looked at before they are sent: the server would have to read them first.
on("change", ({ target }) => {
  const { maxBytes, maxFiles } = target.dataset;
  if (!maxBytes) return;
  const files = [...target.files];
  const large = files.find((file) => file.size > Number(maxBytes));
  let words = "";
  if (files.length > Number(maxFiles)) words = `At most ${maxFiles} files fit. These are ${files.length}.`;
  else if (large) words = `${large.name} is larger than ${Math.round(Number(maxBytes) / 2 ** 20)} MB.`;
  target.setCustomValidity(words);
  const place = byId(`${target.id}-refused`);
  if (!place) return;
  place.textContent = words;
  place.hidden = !words;
});

on("input", ({ target }) => { if (target.dataset?.counter) countCharacters(target); });

on("click", async ({ target }) => {
  target.closest("[data-close]")?.closest(".toast").remove();
  const copy = target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(byId(copy.dataset.copy).textContent);
    copy.textContent = "Copied";
  }
  if (target.closest("[data-print]")) print();
});

// --- Keyboard: / search, n new task, g then d c t a to go, ? help; Ctrl+Enter submits ---

let goPressedAt = 0;

on("keydown", (event) => {
  const { target, key } = event;
  if (key === "Enter" && (event.ctrlKey || event.metaKey) && target.matches("textarea")) {
    event.preventDefault();
    return target.form.requestSubmit();
  }
  if (document.body.dataset.shortcuts === "off" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.closest("input, textarea, select, [contenteditable], dialog[open]")) return;

  const going = event.timeStamp - goPressedAt < 1500;
  goPressedAt = 0;
  const link = going && document.querySelector(`[data-go="${CSS.escape(key)}"]`);
  const field = { "/": byId("q"), n: byId("description") }[key];
  if (link) link.click();
  else if (key === "g") goPressedAt = event.timeStamp;
  else if (field) field.focus();
  else if (key === "n") document.querySelector("[data-go=d]")?.click();
  else if (key === "?") byId("shortcuts").showModal();
  else return;
  event.preventDefault();
});

// --- On load, and whenever htmx brings something new ---

function enhance() {
  for (const area of document.querySelectorAll("textarea[data-counter]")) countCharacters(area);
  for (const mark of document.querySelectorAll("form[data-draft] > [data-unsaved]")) {
    mark.removeAttribute("data-unsaved");
    draftOf(mark.form).changes += 1;
    keepIn(mark.form, 0);
  }
}

on("htmx:after:swap", enhance);
enhance();
