// Shows or hides a password. Without JavaScript the buttons are hidden and nothing is lost.
for (const button of document.querySelectorAll("[data-reveal]")) {
  const input = document.getElementById(button.dataset.reveal);
  button.addEventListener("click", () => {
    const shown = input.type === "password";
    input.type = shown ? "text" : "password";
    button.firstChild.data = shown ? "Hide" : "Show";
    input.focus();
  });
  // A password that is on screen must not be kept by the browser as ordinary text.
  input.form.addEventListener("submit", () => { input.type = "password"; });
}
