"""Procedural drawing of arthropods seen from above, as on a photographed plate."""

from __future__ import annotations

import colorsys
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .sample_orders import BodyPlan

CANVAS = 512
Colour = tuple[int, int, int]
Point = tuple[float, float]


def draw_specimen(plan: BodyPlan, family: int, rng: np.random.Generator, size: int = 256) -> Image.Image:
    """Draw one specimen of an order's body plan.

    Args:
        plan: the order's proportions.
        family: 0 or 1; shifts the colour range.
        rng: source of pose, colour, blur and background.
        size: edge of the image in pixels. The body always fills the frame: its size stands in the table only.
    """
    layer = Image.new("RGBA", (CANVAS, CANVAS), (0, 0, 0, 0))
    low, high = plan.hue
    hue = low + (high - low) * (0.35 * rng.random() + 0.6 * family)
    shade = rng.uniform(0.16, 0.55)
    colour = _colour(hue, rng.uniform(0.25, 0.75), shade)
    length = CANVAS * rng.uniform(0.44, 0.60)
    widths = [width * rng.uniform(0.85, 1.15) for _, width in plan.body]
    segments = _segments(plan, length, widths)
    _legs(layer, plan, segments, length, colour, rng)
    if plan.antenna:
        _antennae(layer, plan, segments, length, colour, rng)
    if plan.wings in ("scales", "two", "four", "fringed"):
        _membranes(layer, plan, segments, length, colour, rng)
    striped = rng.random() < plan.stripes
    _body(layer, plan, segments, colour, striped, rng)
    if plan.wings in ("elytra", "tegmina", "hemelytra"):
        _covers(layer, plan, segments, length, colour, rng)
    turned = layer.rotate(rng.uniform(0, 360), resample=Image.Resampling.BICUBIC)
    shift = (int(rng.normal(0, 14)), int(rng.normal(0, 14)))
    image = _background(rng)
    shadow = Image.new("RGBA", (CANVAS, CANVAS), (60, 55, 50, 0))
    shadow.putalpha(turned.getchannel("A").point([value // 3 for value in range(256)]))
    image.paste(shadow.filter(ImageFilter.GaussianBlur(9)), (shift[0] + 8, shift[1] + 10), shadow)
    image.paste(turned, shift, turned)
    blur = rng.gamma(1.6, 1.0) + (rng.uniform(5, 10) if rng.random() < 0.12 else 0.0)
    image = image.filter(ImageFilter.GaussianBlur(blur)).resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(image, dtype=np.float32) + rng.normal(0, rng.uniform(2, 7), (size, size, 1))
    pixels = (pixels - 128) * rng.uniform(0.8, 1.15) + 128 + rng.normal(0, 8)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return int(255 * red), int(255 * green), int(255 * blue)


def _tint(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(max(0, min(255, channel * factor))) for channel in colour)
    return red, green, blue


def _segments(plan: BodyPlan, length: float, widths: list[float]) -> list[tuple[float, float, float, float]]:
    """Return head, thorax and abdomen as (centre x, centre y, length, width), head upwards, slightly overlapping."""
    top = (CANVAS - length) / 2
    result = []
    for (part, _), width in zip(plan.body, widths, strict=True):
        result.append((CANVAS / 2, top + part * length / 2, part * length, width * length))
        top += part * length * 0.94
    return result


def _box(x: float, y: float, height: float, width: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _body(
    layer: Image.Image, plan: BodyPlan, segments: list, colour: Colour, striped: bool, rng: np.random.Generator
) -> None:
    draw = ImageDraw.Draw(layer)
    order = (2, 1, 0)
    for index in order:
        x, y, height, width = segments[index]
        draw.ellipse(_box(x, y, height * 1.06, width), fill=(*_tint(colour, (0.85, 1.0, 1.1)[index]), 255))
        draw.ellipse(_box(x - width * 0.14, y, height * 0.6, width * 0.28), fill=(*_tint(colour, 1.35), 110))
    x, y, height, width = segments[2]
    bands = int(rng.integers(4, 7))
    pale = (225, 200, 90) if striped else _tint(colour, 0.6)
    for band in range(bands):
        offset = (band + 0.5) / bands - 0.5
        reach = width * math.sqrt(max(0.0, 1 - (2 * offset) ** 2)) * 0.48
        thickness = max(2, int(height * (0.055 if striped else 0.018)))
        draw.line((x - reach, y + offset * height, x + reach, y + offset * height), (*pale, 235), thickness)
    x, y, height, width = segments[0]
    if plan.taxonomic_class == "Insecta":
        for side in (-1, 1):
            eye = _box(x + side * width * 0.38, y, height * 0.62, width * (0.42 if plan.wings == "two" else 0.26))
            draw.ellipse(eye, fill=(*_tint(colour, 0.45), 255))


def _legs(
    layer: Image.Image, plan: BodyPlan, segments: list, length: float, colour: Colour, rng: np.random.Generator
) -> None:
    draw = ImageDraw.Draw(layer)
    x, y, height, width = segments[1]
    pairs = plan.legs // 2
    for pair in range(pairs):
        spread = (pair / (pairs - 1) - 0.5) if pairs > 1 else 0.0
        hind = plan.jumping and pair == pairs - 1
        for side in (-1, 1):
            reach = plan.leg_length * length * (1.5 if hind else 1.0) * rng.uniform(0.85, 1.1)
            angle = spread * (2.2 if pairs == 4 else 1.9) + rng.normal(0, 0.12)
            start = (x + side * width * 0.35, y + spread * height * 0.8)
            knee = (start[0] + side * math.cos(angle) * reach * 0.5, start[1] + math.sin(angle) * reach * 0.5)
            bend = angle + (0.5 if spread >= 0 else -0.5) + (0.9 if hind else 0.0)
            foot = (knee[0] + side * math.cos(bend) * reach * 0.5, knee[1] + math.sin(bend) * reach * 0.5)
            thick = max(3, int(length * (0.045 if hind else 0.02)))
            draw.line([start, knee], (*_tint(colour, 0.8), 255), thick, joint="curve")
            draw.line([knee, foot], (*_tint(colour, 0.8), 255), max(2, thick // 2), joint="curve")


def _antennae(
    layer: Image.Image, plan: BodyPlan, segments: list, length: float, colour: Colour, rng: np.random.Generator
) -> None:
    draw = ImageDraw.Draw(layer)
    x, y, height, width = segments[0]
    for side in (-1, 1):
        reach = plan.antenna * length * rng.uniform(0.85, 1.15)
        angle = -math.pi / 2 + side * rng.uniform(0.3, 0.8)
        points: list[Point] = [(x + side * width * 0.2, y - height * 0.4)]
        for _ in range(5):
            px, py = points[-1]
            points.append((px + math.cos(angle) * reach / 5, py + math.sin(angle) * reach / 5))
            angle += side * rng.uniform(0.0, 0.22)
        draw.line(points, (*_tint(colour, 0.7), 255), max(2, int(length * 0.012)), joint="curve")


def _wing(root: Point, angle: float, reach: float, width: float, side: int) -> list[Point]:
    """Return the outline of a wing that leaves `root` at `angle` from the body's axis."""
    points = []
    for step in range(17):
        turn = 2 * math.pi * step / 16
        along = (0.5 - 0.5 * math.cos(turn)) * reach
        across = math.sin(turn) * width * (0.35 + 0.65 * along / reach) / 2
        x = along * math.sin(angle) + across * math.cos(angle)
        y = along * math.cos(angle) - across * math.sin(angle)
        points.append((root[0] + side * x, root[1] + y))
    return points


def _membranes(
    layer: Image.Image, plan: BodyPlan, segments: list, length: float, colour: Colour, rng: np.random.Generator
) -> None:
    x, y, _, width = segments[1]
    spread = rng.uniform(0.55, 1.25)
    opaque = plan.wings == "scales"
    fills = [(*_tint(colour, rng.uniform(1.3, 2.1)), 250)] if opaque else [(215, 220, 225, 120)]
    shapes = [(spread + 0.45, plan.wing_length, 0.42 if opaque else 0.30)]
    if plan.wings in ("four", "scales"):
        shapes.append((spread - 0.1, plan.wing_length * 0.72, 0.40 if opaque else 0.24))
    if plan.wings == "fringed":
        shapes = [(0.5 * spread, plan.wing_length, 0.07), (0.5 * spread + 0.25, plan.wing_length, 0.07)]
    for angle, reach, breadth in shapes[::-1]:
        for side in (-1, 1):
            wing = Image.new("RGBA", layer.size, (0, 0, 0, 0))
            draw = ImageDraw.Draw(wing)
            root = (x + side * width * 0.3, y)
            outline = _wing(root, angle, reach * length, breadth * length, side)
            edge = (*_tint(colour, 0.7), 220)
            draw.polygon(outline, fill=fills[0], outline=edge, width=3)
            for vein in (4, 6, 8, 10, 12):
                draw.line([root, outline[vein]], (*_tint(colour, 0.8), 160 if not opaque else 60), 2)
            if opaque:
                for _ in range(4):
                    px, py = outline[int(rng.integers(5, 12))]
                    cx, cy = root[0] + 0.65 * (px - root[0]), root[1] + 0.65 * (py - root[1])
                    radius = rng.uniform(5, 14)
                    draw.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), (*_tint(colour, 0.55), 230))
            if plan.wings == "fringed":
                for px, py in outline[2:15]:
                    draw.line([(px, py), (px + side * 16, py + 10)], (*_tint(colour, 0.9), 130), 2)
            layer.alpha_composite(wing)


def _covers(
    layer: Image.Image, plan: BodyPlan, segments: list, length: float, colour: Colour, rng: np.random.Generator
) -> None:
    x, y, height, width = segments[2]
    cover = Image.new("RGBA", layer.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(cover)
    tone = _tint(colour, rng.uniform(0.9, 1.5))
    if plan.wings == "elytra":
        draw.ellipse(_box(x, y, height * 1.02, width), fill=(*tone, 255))
        draw.line((x, y - height / 2, x, y + height / 2), (*_tint(tone, 0.4), 255), 4)
        draw.ellipse(_box(x - width * 0.22, y - height * 0.1, height * 0.55, width * 0.12), fill=(255, 255, 255, 90))
        for _ in range(int(rng.integers(0, 7))):
            px, py = x + rng.uniform(-0.3, 0.3) * width, y + rng.uniform(-0.3, 0.3) * height
            draw.ellipse((px - 8, py - 8, px + 8, py + 8), (*_tint(tone, 0.35), 255))
    elif plan.wings == "tegmina":
        for side in (-1, 1):
            outline = _wing(
                (x + side * width * 0.2, y - height * 0.5), 0.10, plan.wing_length * length, width * 0.75, side
            )
            draw.polygon(outline, fill=(*tone, 235), outline=(*_tint(tone, 0.6), 255), width=3)
    else:
        shoulder = y - height / 2
        draw.polygon(
            [(x - width * 0.5, shoulder), (x + width * 0.5, shoulder), (x + width * 0.28, y + height * 0.62),
             (x - width * 0.28, y + height * 0.62)], (*tone, 245),
        )  # fmt: skip
        draw.polygon(
            [(x - width * 0.28, y + height * 0.62), (x + width * 0.28, y + height * 0.62), (x, y + height * 0.2)],
            (205, 205, 200, 215),
        )
        draw.polygon([(x - width * 0.3, shoulder), (x + width * 0.3, shoulder), (x, y)], (*_tint(tone, 0.55), 255))
        draw.line([(x - width * 0.45, shoulder), (x, y + height * 0.2)], (*_tint(tone, 0.5), 255), 4)
        draw.line([(x + width * 0.45, shoulder), (x, y + height * 0.2)], (*_tint(tone, 0.5), 255), 4)
    layer.alpha_composite(cover)


def _background(rng: np.random.Generator) -> Image.Image:
    base = np.array([198, 200, 198]) + rng.normal(0, 16) + rng.normal(0, 5, 3)
    ramp = np.linspace(-1, 1, CANVAS)
    slope_x, slope_y = rng.normal(0, 9, 2)
    field = base + (slope_x * ramp[None, :] + slope_y * ramp[:, None])[:, :, None]
    image = Image.fromarray(np.clip(field, 0, 255).astype(np.uint8)).convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.poisson(5))):
        px, py, radius = *rng.uniform(0, CANVAS, 2), rng.uniform(1, 6)
        draw.ellipse((px - radius, py - radius, px + radius, py + radius), (150, 145, 138))
    return image
