// Passkeys: asks the server for a challenge and the browser for an answer, and sends that as an ordinary form.
// Without this file, or in a browser without passkeys, the forms stay hidden and codes still work.
const able = window.PublicKeyCredential?.parseCreationOptionsFromJSON && PublicKeyCredential.prototype.toJSON;

async function options(form) {
  const response = await fetch(form.dataset.options, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  if (!response.headers.get("Content-Type")?.startsWith("application/json")) throw new Error("Please reload the page and try again.");
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

async function credential(form) {
  const answer = await options(form);
  if (form.dataset.passkey === "create") {
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(answer) });
  }
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(answer) });
}

// At the window, before the double-click guard of app.js takes the event.
if (able) addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.passkey) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const problem = form.querySelector("[data-problem]");
  problem.hidden = true;
  try {
    form.elements.credential.value = JSON.stringify((await credential(form)).toJSON());
    form.elements.password?.removeAttribute("name"); // it has done its work
    form.submit();
  } catch (error) {
    problem.textContent = error.name === "Error" ? error.message : "That did not work, or took too long. Try again.";
    problem.hidden = false;
  }
}, true);

if (able) {
  for (const form of document.querySelectorAll("form[data-passkey]")) form.hidden = false;
  for (const note of document.querySelectorAll("[data-no-passkeys]")) note.hidden = true;
}
