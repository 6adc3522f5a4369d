"""Which files of the app have changed since one last asked; a thread of watchfiles listens to the kernel."""

import threading
from pathlib import Path

from watchfiles import DefaultFilter, watch

KINDS = (".py", ".html", ".txt", ".css", ".js", ".svg", ".json")


class Changes:
    """Listens from the start on; a change is told once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: set[str] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="reload", daemon=True).start()

    def take(self) -> list[str]:
        with self._lock:
            found, self._found = sorted(self._found), set()
        return found

    def _listen(self) -> None:
        for changes in watch(self._folder, watch_filter=DefaultFilter(), raise_interrupt=False):
            names = {str(Path(path).relative_to(self._folder.parent)) for _, path in changes if path.endswith(KINDS)}
            with self._lock:
                self._found |= names
