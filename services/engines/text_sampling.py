"""How the next token is chosen, and where a text ends."""

from typing import TYPE_CHECKING

from services.contracts.chat import ChatRequest

if TYPE_CHECKING:
    import torch

# Those of llama.cpp, so that a model answers alike on either engine.
TEMPERATURE, TOP_P, TOP_K = 0.8, 0.95, 40


class Sampler:
    """Chooses the tokens of one answer.

    Source: Holtzman et al., 2020, nucleus sampling, arXiv:1904.09751, among the `top_k` likeliest.
    """

    def __init__(self, request: ChatRequest, device: "torch.device") -> None:
        import torch

        self.temperature = TEMPERATURE if request.temperature is None else request.temperature
        self._top_p = TOP_P if request.top_p is None else request.top_p
        self._top_k = TOP_K if request.top_k is None else request.top_k
        self._presence, self._frequency = request.presence_penalty or 0.0, request.frequency_penalty or 0.0
        self._bias = {int(number): bias for number, bias in (request.logit_bias or {}).items() if number.isdigit()}
        self._random = torch.Generator(device)
        self._random.manual_seed(request.seed % 2**63) if request.seed is not None else self._random.seed()

    @property
    def greedy(self) -> bool:
        """Whether it always takes the likeliest token, with nothing to be changed before."""
        return self.temperature == 0 and not (self._presence or self._frequency or self._bias)

    def pick(self, scores: "torch.Tensor", written: list[int]) -> int:
        """The next token by *scores*, float, shape (words,), after those *written*."""
        import torch

        scores = self._changed(scores, written)
        if self.temperature == 0:
            return int(scores.argmax())
        count = min(self._top_k or len(scores), len(scores))
        best, numbers = torch.topk(scores, count)
        likely = torch.softmax(best / self.temperature, dim=-1)
        # The first is always kept: what comes before it adds up to nothing.
        likely[likely.cumsum(-1) - likely >= self._top_p] = 0
        return int(numbers[torch.multinomial(likely, 1, generator=self._random)])

    def _changed(self, scores: "torch.Tensor", written: list[int]) -> "torch.Tensor":
        if not (self._bias or (written and (self._presence or self._frequency))):
            return scores
        scores = scores.clone()
        for number in set(written) if self._presence or self._frequency else ():
            scores[number] -= self._presence + self._frequency * written.count(number)
        for number, bias in self._bias.items():
            if number < len(scores):
                scores[number] += bias
        return scores


class Stops:
    """Holds back the end of a text as long as it may be the beginning of a stop word."""

    def __init__(self, words: str | list[str] | None) -> None:
        self._words = [word for word in ([words] if isinstance(words, str) else words or []) if word]
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """What may be told now that *text* came; nothing more once a stop word was `found`."""
        if self.found:
            return ""
        self._held += text
        ends = [at for word in self._words if (at := self._held.find(word)) >= 0]
        if ends:
            self.found = True
            told, self._held = self._held[: min(ends)], ""
            return told
        keep = max((self._overlap(word) for word in self._words), default=0)
        told, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return told

    def rest(self) -> str:
        """What was held back and is no stop word after all."""
        told, self._held = self._held, ""
        return told

    def _overlap(self, word: str) -> int:
        """How many letters at the end of what is held are the beginning of *word*."""
        longest = min(len(word) - 1, len(self._held))
        return next((size for size in range(longest, 0, -1) if self._held.endswith(word[:size])), 0)
