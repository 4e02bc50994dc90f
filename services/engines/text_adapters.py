"""Adapters of peft's that lie side by side on one transformers model, of which one or none computes."""

from pathlib import Path
from typing import Any

from services.errors import Unavailable

# Beyond so many the one that was used longest ago is dropped.
MOST_ADAPTERS = 16


class TextAdapters:
    """The adapters on *model*, which they change in place. For one thread alone."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._peft: Any = None
        self._places: dict[str, str] = {}
        """By the adapter's name, in the order of use: what peft calls it, since it takes no dots."""
        self._made = 0
        self._active: str | None = ""

    def choose(self, adapter: tuple[str, Path] | None, *, busy: set[str]) -> None:
        """Have *adapter*, its name and its folder, compute from now on; None is the model alone.

        Those in *busy* stay loaded. Raises Unavailable for one that cannot be loaded.
        """
        name = adapter[0] if adapter else ""
        if name == self._active:
            return
        self._active = None
        if adapter is None:
            if self._peft is not None:
                self._peft.base_model.disable_adapter_layers()
        else:
            place = self._placed(*adapter, busy)
            self._peft.base_model.enable_adapter_layers()
            self._peft.set_adapter(place)
        self._active = name

    def _placed(self, name: str, folder: Path, busy: set[str]) -> str:
        place = self._places.pop(name, None)
        if place is None:
            place = self._load(folder, name)
            self._drop_old(busy)
        self._places[name] = place
        return place

    def _load(self, folder: Path, name: str) -> str:
        import peft

        place = f"adapter{self._made}"
        self._made += 1
        # In the base's own precision: peft's fp32 would turn each layer's input to and fro.
        options: dict[str, Any] = {"adapter_name": place, "autocast_adapter_dtype": False}
        try:
            if self._peft is None:
                self._peft = peft.PeftModel.from_pretrained(self._model, folder, **options)
            else:
                self._peft.load_adapter(folder, **options)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise Unavailable(
                "The adapter of {model} cannot be loaded ({cause}); train it again.",
                "无法加载 {model} 的适配器（{cause}），请重新训练。",
                details={"reason": "adapter_broken"},
                model=name,
                cause=str(error)[:200],
            ) from error
        self._peft.eval()
        return place

    def _drop_old(self, busy: set[str]) -> None:
        idle = [name for name in self._places if name not in busy]
        for name in idle[: max(0, len(self._places) + 1 - MOST_ADAPTERS)]:
            self._peft.delete_adapter(self._places.pop(name))
