# Shared by the scripts that open a browser: Chromium, and what Playwright itself needs to start.
# shellcheck shell=bash

need_browser() {
    command -v chromium >/dev/null 2>&1 || apt_install "for the browser tests" chromium fonts-liberation
    chromium --version >/dev/null 2>&1 || fail "chromium is installed but does not start: run 'chromium --version' to see why."
    # Playwright's Node.js is linked to a library that a minimal Debian leaves out.
    .venv/bin/playwright --version >/dev/null 2>&1 || apt_install "for the browser tests" libatomic1
    .venv/bin/playwright --version >/dev/null 2>&1 \
        || fail "Playwright is installed but does not start: run '.venv/bin/playwright --version' to see why."
}
