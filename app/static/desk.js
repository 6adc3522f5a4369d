// The operators' keys, ticks and chords. No page depends on this file: each key presses what can be clicked.

const rowsOf = () => [...document.querySelectorAll("#queue .queue li")];
const rowHere = () => document.activeElement.closest?.("#queue .queue li");
const ticks = () => [...document.querySelectorAll("#queue [name=task_id]")];
const bulk = (act) => document.querySelector(`#bulk [value=${act}]`);

function tellTicked() {
  const told = byId("ticked");
  if (told) told.textContent = `${ticks().filter((tick) => tick.checked).length} ticked`;
}

on("change", ({ target }) => { if (target.name === "task_id") tellTicked(); });

on("click", (event) => {
  if (!event.target.closest("[data-tick-all]")) return;
  event.preventDefault();
  const all = ticks().every((tick) => tick.checked);
  for (const tick of ticks()) tick.checked = !all;
  tellTicked();
});

// --- In an answer: Ctrl+Shift+Enter completes and takes the next; app.js has Ctrl+Enter ---

on("keydown", (event) => {
  const next = event.target.id === "result" && byId("complete-next");
  if (!next || event.key !== "Enter" || !event.shiftKey || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  event.target.form.requestSubmit(next);
}, true);

// --- Single keys: outside of fields, and only where the account has them switched on ---

function move(step) {
  const rows = rowsOf();
  const at = rows.indexOf(rowHere());
  const to = at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step;
  rows[to]?.querySelector("a").focus();
}

function tick(row) {
  const box = row?.querySelector("[name=task_id]");
  if (box) box.checked = !box.checked;
  tellTicked();
}

function claim() {
  if (ticks().some((tick) => tick.checked) && bulk("claim")) return bulk("claim").click();
  (rowHere()?.querySelector("button") ?? byId("claim-next") ?? byId("claim"))?.click();
}

function reject() {
  if (byId("reject")) {
    byId("reject").open = true;
    return byId("reason").focus();
  }
  if (!ticks().some((tick) => tick.checked)) tick(rowHere());
  if (ticks().some((tick) => tick.checked)) bulk("refuse").click();
}

function write() {
  const answer = byId("result");
  if (answer) return answer.focus();
  rowHere()?.querySelector("a").click();
}

const KEYS = { j: () => move(1), k: () => move(-1), x: () => tick(rowHere()), c: claim, e: write, r: reject };

on("keydown", (event) => {
  const { target, key } = event;
  if (event.defaultPrevented || document.body.dataset.shortcuts === "off") return;
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, key)) return;
  if (target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], dialog[open]")) return;
  event.preventDefault();
  KEYS[key]();
});
