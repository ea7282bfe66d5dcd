"""The diagrams of the concept pages, drawn as SVG."""

from __future__ import annotations

from html import escape

INK, SOFT, LINE, BLUE, PALE, WARM, WARM_PALE = (
    "#1b1f24", "#57606a", "#8c959f", "#0b5cad", "#eaf2fb", "#b35900", "#fdf1e3",
)  # fmt: skip


class Drawing:
    """An SVG of boxes, arrows and texts on white."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self.parts: list[str] = []

    def box(self, x: float, y: float, w: float, h: float, text: str, note: str = "", warm: bool = False) -> None:
        """Draw a box with a text and a smaller one below it; lines are parted by a bar."""
        fill, stroke = (WARM_PALE, WARM) if warm else (PALE, BLUE)
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8" fill="{fill}" stroke="{stroke}" '
            'stroke-width="1.4"/>'
        )
        lines = [(line, "") for line in text.split("|")] + [(line, "soft") for line in note.split("|") if line]
        top = y + h / 2 - (len(lines) - 1) * 9 + 5
        for number, (line, style) in enumerate(lines):
            self.text(x + w / 2, top + 18 * number, line, style)

    def text(self, x: float, y: float, text: str, style: str = "", anchor: str = "middle") -> None:
        """Write a line of text."""
        self.parts.append(f'<text x="{x}" y="{y}" text-anchor="{anchor}" class="{style}">{escape(text)}</text>')

    def arrow(self, x0: float, y0: float, x1: float, y1: float, warm: bool = False, width: float = 1.6) -> None:
        """Draw a straight arrow."""
        colour, tip = (WARM, "warm") if warm else (BLUE, "tip")
        self.parts.append(
            f'<path d="M{x0} {y0}L{x1} {y1}" stroke="{colour}" stroke-width="{width}" fill="none" '
            f'marker-end="url(#{tip})"/>'
        )

    def line(self, points: list[tuple[float, float]], colour: str, dashed: bool = False) -> None:
        """Draw a line through points."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self.parts.append(f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"{dash}/>')

    def svg(self) -> str:
        """Return the document."""
        tips = "".join(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" '
            f'markerUnits="userSpaceOnUse"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
            for name, colour in (("tip", BLUE), ("warm", WARM))
        )
        style = (
            f"text{{font:14px system-ui,'DejaVu Sans',sans-serif;fill:{INK}}}.soft{{font-size:12px;fill:{SOFT}}}"
            ".b{font-weight:600}"
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(self.title, quote=True)}"><style>{style}</style><defs>{tips}</defs>'
            f'<rect width="{self.width}" height="{self.height}" fill="#fff"/>{"".join(self.parts)}</svg>'
        )


def pipeline() -> str:
    """From a table to a model, stage by stage."""
    d = Drawing(860, 190, "From a table to a model: prepare, search, derive, retrain, evaluate, report and export")
    stages = [
        ("prepare", "images, labels,|splits, audit"),
        ("search", "a supernet learns|what to keep"),
        ("derive", "one architecture|in the budget"),
        ("retrain", "from scratch, on|all training data"),
        ("evaluate", "test split,|once"),
        ("report, export", "a page, and|files to predict"),
    ]
    for number, (name, note) in enumerate(stages):
        x = 14 + 142 * number
        d.box(x, 62, 118, 82, name, note)
        if number:
            d.arrow(x - 24, 103, x - 2, 103)
    d.text(73, 30, "table + images", "b")
    d.arrow(73, 36, 73, 60)
    d.text(783, 30, "model + evidence", "b")
    d.arrow(783, 60, 783, 38)
    d.text(430, 176, "every stage can run alone, is skipped when done, and continues after a kill", "soft")
    return d.svg()


def edge() -> str:
    """One edge of a supernet."""
    d = Drawing(760, 330, "An edge of the supernet: candidate operations, weighted and added")
    d.box(20, 140, 110, 46, "node i")
    d.box(630, 140, 110, 46, "node j")
    names = [
        ("separable 3×3", 0.24), ("dilated 5×5", 0.16), ("1×1 convolution", 0.09), ("max pool 3×3", 0.31),
        ("skip", 0.12), ("zero", 0.08),
    ]  # fmt: skip
    for number, (name, weight) in enumerate(names):
        y = 24 + 46 * number
        d.arrow(132, 163, 218, y + 16, width=1)
        d.box(222, y, 190, 32, f"{name}   × {weight:.2f}", warm=weight == max(value for _, value in names))
        d.arrow(414, y + 16, 548, 163, warm=weight == 0.31, width=0.8 + 9 * weight)
    d.parts.append(f'<circle cx="566" cy="163" r="16" fill="#fff" stroke="{BLUE}" stroke-width="1.6"/>')
    d.text(566, 169, "+", "b")
    d.arrow(584, 163, 628, 163)
    d.text(380, 318, "weights: softmax of the architecture parameters; four more operations are left out here", "soft")
    return d.svg()


def odd_even() -> str:
    """What batches of both kinds update."""
    d = Drawing(760, 220, "Odd batches update architecture parameters, even batches weights")
    d.text(20, 50, "training split", "b", "start")
    d.box(20, 66, 130, 46, "alpha-train")
    d.box(20, 140, 130, 46, "weights-train")
    for number in range(6):
        x = 210 + 52 * number
        odd = number % 2 == 0
        d.box(x, 66 if odd else 140, 42, 46, str(number + 1), warm=odd)
    d.text(366, 50, "batches, one after the other", "soft")
    d.arrow(152, 89, 206, 89, warm=True)
    d.arrow(152, 163, 206, 163)
    d.arrow(520, 89, 566, 89, warm=True)
    d.arrow(520, 163, 566, 163)
    d.box(570, 60, 170, 58, "architecture|parameters", warm=True)
    d.box(570, 134, 170, 58, "weights")
    return d.svg()


def fusion() -> str:
    """Two branches and the place where they meet."""
    d = Drawing(800, 280, "Image and metadata are encoded and joined by one of four fusions")
    d.box(16, 40, 96, 46, "image")
    d.box(150, 40, 150, 46, "searched cells")
    d.box(338, 40, 110, 46, "embedding")
    d.box(16, 190, 96, 58, "metadata", "size, date")
    d.box(150, 190, 150, 58, "encoder", "missing values masked")
    d.box(338, 190, 110, 58, "embedding")
    for y in (63, 219):
        d.arrow(114, y, 147, y)
        d.arrow(302, y, 335, y)
    for number, name in enumerate(("concatenation", "gated", "modulation", "low-rank bilinear")):
        y = 50 + 48 * number
        d.box(496, y, 150, 36, name, warm=number == 2)
        d.arrow(450, 63, 493, y + 14, width=0.9)
        d.arrow(450, 219, 493, y + 22, width=0.9)
        d.arrow(648, y + 18, 684, 144, warm=number == 2, width=2.2 if number == 2 else 0.9)
    d.box(688, 114, 98, 60, "classifier")
    d.text(571, 266, "the search keeps one", "soft")
    return d.svg()


def leakage() -> str:
    """Three ways in which an answer leaks."""
    d = Drawing(
        860, 250, "Three leaks: a column that names the answer, one animal on both sides, an event that identifies it"
    )
    columns = [
        (
            "A column names the answer",
            [("dna_bin BOLD:AAA1234", True), ("length_mm 6.5", False)],
            "refused: never used",
        ),
        (
            "One animal on both sides",
            [("train: beetle_1.jpg", True), ("test: beetle_2.jpg", True)],
            "warned: set split.group",
        ),
        (
            "The event identifies it",
            [("site + date = catch 17", True), ("catch 17: 40 flies", False)],
            "warned: split by event",
        ),
    ]
    for number, (title, rows, verdict) in enumerate(columns):
        x = 20 + 285 * number
        d.text(x + 125, 34, title, "b")
        for place, (text, warm) in enumerate(rows):
            d.box(x, 56 + 58 * place, 250, 44, text, warm=warm)
        d.arrow(x + 125, 160, x + 125, 190, warm=True)
        d.text(x + 125, 214, verdict)
    return d.svg()


def calibration() -> str:
    """Confidence against the share of right answers, before and after."""
    d = Drawing(620, 320, "Reliability before and after dividing by a temperature")
    left, top, size = 70, 24, 240

    def place(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(left + size * x, top + size * (1 - y)) for x, y in points]

    d.parts.append(f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" stroke="{LINE}"/>')
    d.line(place([(0, 0), (1, 1)]), LINE, dashed=True)
    d.line(place([(0.3, 0.27), (0.5, 0.38), (0.7, 0.5), (0.85, 0.6), (0.97, 0.74)]), WARM)
    d.line(place([(0.25, 0.27), (0.4, 0.39), (0.55, 0.56), (0.7, 0.69), (0.88, 0.87)]), BLUE)
    d.text(left + size / 2, 300, "confidence")
    d.parts.append(
        f'<text transform="translate(40 {top + size / 2}) rotate(-90)" text-anchor="middle">share that is right</text>'
    )
    d.text(340, 80, "on the dashed line it is honest", "soft", "start")
    d.line([(340, 116), (372, 116)], WARM)
    d.text(382, 121, "before: too sure", "", "start")
    d.line([(340, 150), (372, 150)], BLUE)
    d.text(382, 155, "after one temperature", "", "start")
    d.text(340, 205, "A sketch. The report of every run draws", "soft", "start")
    d.text(340, 223, "both curves from its own specimens.", "soft", "start")
    return d.svg()


DIAGRAMS = {
    "pipeline": pipeline, "edge": edge, "odd_even": odd_even, "fusion": fusion, "leakage": leakage,
    "calibration": calibration,
}  # fmt: skip
