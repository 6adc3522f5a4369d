# Shared by the scripts that open a browser: Chromium, and what Playwright itself needs to start.
# shellcheck shell=bash

# need_browser ARGUMENT...: without its windows Chromium does half the work, but --headed is for a person who looks on.
need_browser() {
    local browser=chromium-headless-shell
    case " $* " in *" --headed "*) browser=chromium ;; esac
    if ! command -v "$browser" >/dev/null 2>&1; then
        if command -v chromium >/dev/null 2>&1; then
            browser=chromium
        else
            apt_install "for the browser tests" "$browser" fonts-liberation
        fi
    fi
    "$browser" --version >/dev/null 2>&1 || fail "$browser is installed but does not start: run '$browser --version' to see why."
    # Playwright's Node.js is linked to a library that a minimal Debian leaves out.
    .venv/bin/playwright --version >/dev/null 2>&1 || apt_install "for the browser tests" libatomic1
    .venv/bin/playwright --version >/dev/null 2>&1 \
        || fail "Playwright is installed but does not start: run '.venv/bin/playwright --version' to see why."
}
