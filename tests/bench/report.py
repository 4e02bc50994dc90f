"""Figures side by side, and how the service stands to the better of its peers."""

from statistics import median

from tests.bench.processes import SERVICE

Rounds = list[dict[str, dict[str, float]]]


def beside(rounds: Rounds, facts: dict[str, dict[str, float]]) -> str:
    """The programs side by side, what was measured once below, and the ratios."""
    names = list(facts)
    figures = {name: medians(rounds, name) | facts[name] for name in names}
    labels = dict.fromkeys(label for name in names for label in figures[name])
    rows = [[label, *(shown(figures[name].get(label)) for name in names)] for label in labels]
    text = table(["", *names], rows)
    peers = [name for name in names if name != SERVICE]
    if SERVICE not in names or not peers:
        return text
    compared = [label for label in figures[SERVICE] if "/s" in label]
    ratios = [[label, *ratio_row(rounds, label, peers)] for label in compared]
    return f"{text}\n\n{table(['to the better peer', 'ratio', 'lowest', 'highest'], ratios)}"


def medians(rounds: Rounds, name: str) -> dict[str, float]:
    """The median of each figure of *name*; of errors, their sum."""
    labels = rounds[0][name]
    return {
        label: sum(one[name][label] for one in rounds)
        if label.startswith("errors")
        else median(one[name][label] for one in rounds)
        for label in labels
    }


def ratio_row(rounds: Rounds, label: str, peers: list[str]) -> list[str]:
    """The median ratio of the service to the better of *peers* within each round, the lowest and the highest."""
    ratios = [one[SERVICE][label] / max(one[peer][label] for peer in peers) for one in rounds]
    return [f"{figure:.2f}" for figure in (median(ratios), min(ratios), max(ratios))]


def shown(figure: float | None) -> str:
    if figure is None:
        return "-"
    if figure == 0:
        return "0"
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.2f}" if figure < 10 else f"{figure:.1f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table that reads well in a terminal and in Markdown."""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    lines = [aligned(row, widths) for row in [head, *rows]]
    first, *others = ("-" * width for width in widths)
    lines.insert(1, "|".join(["", f"-{first}-", *(f"-{rule}:" for rule in others), ""]))
    return "\n".join(lines)


def aligned(cells: list[str], widths: list[int]) -> str:
    """One row; the first cell to the left, figures to the right."""
    first, *others = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "| " + " | ".join([first.strip().ljust(widths[0]), *others]) + " |"
