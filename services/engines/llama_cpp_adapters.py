"""Many adapters on one loaded GGUF model, one of them chosen by each chat.

llama.cpp takes adapters when it starts alone, so a new one means a new server; chats that run end on the old one.
The model without adapters has an engine of its own, since those that sleep slow it down.
"""

import logging
import threading
from pathlib import Path
from typing import ClassVar

from services.contracts.chat import ChatModel
from services.engines.base import Engine
from services.engines.llama_cpp import LlamaCpp
from services.errors import Unavailable

# Beyond so many the ones that were asked for longest ago leave with the next server.
MOST_ADAPTERS = 16
ADAPTER, CHAT_TEMPLATE = "adapter.gguf", "chat_template.jinja"

log = logging.getLogger(__name__)


class LlamaCppAdapters(Engine):
    """A GGUF model for its adapters. `adapted()` may be called from many threads."""

    name: ClassVar[str] = "llama_cpp_adapters"

    def load(self) -> None:
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._files: dict[str, Path] = {}
        self._model: LlamaCpp | None = None
        self._leaving: list[threading.Thread] = []

    def unload(self) -> None:
        if self._model:
            self._model.unload()
            self._model = None
        for thread in self._leaving:
            thread.join()

    def adapted(self, name: str, folder: Path) -> ChatModel:
        """The model with the adapter in *folder*, which is called *name*; it joins without a restart.

        Raises Unavailable for a file that llama.cpp cannot load.
        """
        with self._lock:
            # The order is that of use; the server knows adapters by their place when it started.
            self._files.pop(name, None)
            self._files[name] = folder / ADAPTER
            if self._model is None or name not in self._names:
                self._model, old = self._started(name, folder), self._model
                self._names = list(self._files)
                self._let_go(old)
            return self._model.on(self._names.index(name))

    def _started(self, name: str, folder: Path) -> LlamaCpp:
        """The model loaded with what is wanted now. A deleted adapter is not."""
        there = {known: file for known, file in self._files.items() if file.is_file() or known == name}
        self._files = dict(list(there.items())[-MOST_ADAPTERS:])
        model = LlamaCpp(self.row, self.path, self.settings)
        model.adapters = tuple(self._files.values())
        if (folder / CHAT_TEMPLATE).is_file():
            model.chat_template = (folder / CHAT_TEMPLATE).read_text(encoding="utf-8")
        try:
            model.load()
        except RuntimeError as error:
            del self._files[name]
            raise Unavailable(
                "The adapter of {model} cannot be loaded; train it again.",
                "无法加载 {model} 的适配器，请重新训练。",
                details={"reason": "adapter_broken"},
                model=name,
            ) from error
        log.info("adapters loaded", extra={"model": self.row.id, "adapters": list(self._files)})
        return model

    def _let_go(self, old: LlamaCpp | None) -> None:
        """End the server before this one when its last chat has ended."""
        if old is None:
            return
        thread = threading.Thread(target=old.unload, name="old-adapters", daemon=True)
        self._leaving = [one for one in self._leaving if one.is_alive()] + [thread]
        thread.start()
