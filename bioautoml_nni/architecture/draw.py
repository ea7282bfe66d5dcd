"""Drawing of an architecture as SVG, without any outside program."""

from __future__ import annotations

from html import escape

from .schema import Architecture, CellArchitecture

LABELS = {
    "sep_conv_3x3": "separable 3×3",
    "sep_conv_5x5": "separable 5×5",
    "dil_conv_3x3": "dilated 3×3",
    "dil_conv_5x5": "dilated 5×5",
    "conv_1x1": "1×1 convolution",
    "squeeze_excitation": "squeeze-excitation",
    "avg_pool_3x3": "average pool 3×3",
    "max_pool_3x3": "max pool 3×3",
    "skip_connect": "skip",
}
CHOICES = {"stage": "Encoder stage that the cells read", "embedding": "Embedding of the encoder"}
"""Labels of choices outside of cells, for people."""
WIDTH, NODE, LANE, MARGIN, ARC = 760, 60, 74, 70, 12


def readable(name: str) -> str:
    """Return a name for people: known operations in words, others with spaces.

    Example:
        >>> readable('sep_conv_3x3')
        'separable 3×3'
        >>> readable('something_else')
        'something else'
    """
    return LABELS.get(name, name.replace("_", " "))


def draw(architecture: Architecture) -> str:
    """Return an SVG document: one row of boxes per kind of cell, edges labelled with operation and share."""
    parts: list[str] = []
    top = 10
    for kind, cell in architecture.cells.items():
        drawing, height = _cell(kind, cell, top)
        parts.append(drawing)
        top += height
    for label, record in architecture.choices.items():
        text = f"{CHOICES.get(label, label.capitalize())}: {readable(record.choice)} (share {record.share:.0%})"
        parts.append(f'<text x="20" y="{top + 24}" class="title">{escape(text)}</text>')
        top += 40
    if not parts:
        parts.append(f'<text x="20" y="{top + 24}" class="title">No image cells: metadata only.</text>')
        top += 40
    style = (
        "text{font-family:system-ui,'DejaVu Sans',sans-serif;font-size:13px;fill:#1b1f24}|.title{font-size:15px;"
        "font-weight:600}|.share{fill:#57606a;font-size:12px}|.box{fill:#eaf2fb;stroke:#0b5cad;stroke-width:1.5}"
        "|.edge{fill:none;stroke:#0b5cad}|.dead{fill:none;stroke:#8c959f;stroke-dasharray:4 4}"
        "|.joined{fill:none;stroke:#0b5cad;stroke-width:1.5;stroke-dasharray:1 3}|.tip{fill:#0b5cad}"
        "|.ground{fill:#fff}|.halo{paint-order:stroke;stroke:#fff;stroke-width:5px;stroke-linejoin:round}"
    )
    style = "".join(f".architecture {rule}" for rule in style.split("|"))  # so that a page around it keeps its own
    title = "Architecture found by the search: " + "; ".join(_describe(k, c) for k, c in architecture.cells.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="architecture" viewBox="0 0 {WIDTH} {top + 10}" role="img" '
        f'aria-label="{escape(title, quote=True)}"><style>{style}</style>'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" class="tip"/></marker></defs>'
        f'<rect width="{WIDTH}" height="{top + 10}" class="ground"/>{"".join(parts)}</svg>'
    )


def _describe(kind: str, cell: CellArchitecture) -> str:
    edges = ", ".join(f"{edge.source} to {edge.target} {readable(edge.operation)}" for edge in cell.edges)
    return f"{kind} cell with {edges}"


def _cell(kind: str, cell: CellArchitecture, top: int) -> tuple[str, int]:
    """Lay the states out from left to right; an edge that jumps over nodes runs in a lane of its own below."""
    step = (WIDTH - 2 * MARGIN) / (cell.nodes + 1)
    centre = [MARGIN + step * position for position in range(cell.nodes + 2)]
    connections = [(edge.source, edge.target) for edge in cell.edges] + [
        (edge.source, edge.target) for edge in cell.pruned
    ]
    jumps = sorted((target - source, source, target) for source, target in connections if target - source > 1)
    arcs = [node for node in cell.live_nodes if node < cell.nodes]
    y = top + 70 + (ARC * len(arcs) + 14 if arcs else 0)
    parts = [f'<text x="20" y="{top + 22}" class="title">{escape(kind.capitalize())} cell</text>']
    lanes = {(source, target): lane for lane, (_, source, target) in enumerate(jumps, start=1)}
    for edge in cell.edges:
        lane = lanes.get((edge.source, edge.target), 0)
        x0, x1 = centre[edge.source] + NODE / 2, centre[edge.target] - NODE / 2
        width = 1.2 + 6 * edge.operation_share
        label = f"{readable(edge.operation)}", f"{edge.operation_share:.0%}"
        parts.append(_line(x0, x1, y, lane, f'class="edge" stroke-width="{width:.1f}" marker-end="url(#tip)"'))
        parts.append(_label((x0 + x1) / 2, y + lane * LANE, *label))
    for pruned in cell.pruned:
        lane = lanes.get((pruned.source, pruned.target), 0)
        x0, x1 = centre[pruned.source] + NODE / 2, centre[pruned.target] - NODE / 2
        parts.append(_line(x0, x1, y, lane, 'class="dead"'))
        reason = {"zero": "no connection", "input_not_chosen": "input not chosen", "dead_source": "source is dead"}
        parts.append(_label((x0 + x1) / 2, y + lane * LANE, reason[pruned.reason], f"zero {pruned.zero_share:.0%}"))
    parts += [
        _joined(centre[node], centre[-1], y, ARC * (len(arcs) - order) + 26 if node in arcs else 0)
        for order, node in enumerate(cell.live_nodes)
    ]
    for position, x in enumerate(centre):
        name = "input" if position == 0 else "output" if position == cell.nodes + 1 else f"node {position}"
        if position in (0, cell.nodes + 1) or position in cell.live_nodes:
            parts.append(
                f'<rect x="{x - NODE / 2}" y="{y - 18}" width="{NODE}" height="36" rx="9" class="box"/>'
                f'<text x="{x}" y="{y + 5}" text-anchor="middle">{name}</text>'
            )
    joined = f"from node{'s' * (len(cell.live_nodes) > 1)} {', '.join(map(str, cell.live_nodes))}"
    parts.append(f'<text x="{centre[-1]}" y="{y + 36}" text-anchor="middle" class="share">{joined}</text>')
    return "".join(parts), y - top + 40 + LANE * len(jumps)


def _joined(x0: float, x1: float, y: float, height: float) -> str:
    """Return the line from a node to the output, which is made of all nodes: over what stands between, if anything."""
    style = 'class="joined" marker-end="url(#tip)"'
    if not height:
        return f'<path d="M{x0 + NODE / 2} {y}L{x1 - NODE / 2} {y}" {style}/>'
    crest = y - 18 - height
    rise = f"M{x0} {y - 18}C{x0} {crest} {x0 + 20} {crest} {x0 + 60} {crest}"
    return f'<path d="{rise}H{x1 - 60}C{x1} {crest} {x1} {crest} {x1} {y - 19}" {style}/>'


def _line(x0: float, x1: float, y: float, lane: int, style: str) -> str:
    if lane == 0:
        return f'<path d="M{x0} {y}L{x1} {y}" {style}/>'
    depth = y + lane * LANE
    middle = (x0 + x1) / 2
    curve = f"M{x0} {y + 8}C{x0 + 40} {depth} {x0 + 40} {depth} {middle} {depth}S{x1 - 40} {depth} {x1} {y + 12}"
    return f'<path d="{curve}" {style}/>'


def _label(x: float, y: float, name: str, share: str) -> str:
    return (
        f'<text x="{x}" y="{y - 12}" text-anchor="middle" class="halo">{escape(name)}</text>'
        f'<text x="{x}" y="{y + 20}" text-anchor="middle" class="share halo">{escape(share)}</text>'
    )
