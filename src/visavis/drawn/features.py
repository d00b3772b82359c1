"""The parts of the drawn person, from back to front."""

from __future__ import annotations

import numpy as np

from visavis.drawn.drawing import Canvas, Points, ellipse, mirrored, rounded, tone

_ACROSS = np.linspace(-1, 1, 25)
_ARCH = 1 - _ACROSS**2

# How far in front of the head's axis the parts lie: what is nearer moves more when the head turns.
_NOSE, _EYES, _LIPS, _CHEEKS, _SKULL, _EARS = 0.75, 0.45, 0.55, 0.4, 0.05, -0.2


def draw_person(c: Canvas) -> None:
    """Draw a person over the ground that the canvas shows."""
    _hair_behind(c)
    _body(c.still())
    face = _head(c)
    for side in (-1, 1):
        _eye(c, side)
    _nose(c, face)
    _mouth(c)
    _hair_before(c)


def _hair_behind(c: Canvas) -> None:
    hair = c.looks.hair
    if c.looks.long_hair:
        locks = rounded(
            mirrored([(0.2, -1.12), (0.72, -0.98), (0.98, -0.4), (0.98, 0.4), (1.1, 1.0), (0.92, 1.5), (0.3, 1.45)])
        )
        c.fill(c.place(locks, -0.1), tone(hair, 0.72), 0.02)
        outline = c.place(locks, -0.1)
        for number in range(14):
            side = -1 if number % 2 else 1
            x = side * (0.72 + 0.035 * (number // 2))
            lock = rounded([(x * 0.9, -0.6), (x * 1.08, 0.2), (x * 1.0, 0.8), (x * 1.12, 1.4)], closed=False)
            shade = 1.15 if number % 4 < 2 else 0.6
            c.stroke(c.place(lock, -0.1), tone(hair, shade), 0.022, 0.02, inside=outline)
    else:
        c.fill(c.place(ellipse(0, -0.2, 0.86, 0.9), -0.05), tone(hair, 0.8), 0.015)


def _body(c: Canvas) -> None:
    skin, shirt = c.looks.skin, c.looks.shirt
    neck = rounded(mirrored([(0.38, 0.5), (0.37, 1.0), (0.42, 1.3), (0.62, 1.5), (0.3, 1.8)]))
    at = c.place(neck)
    c.fill(at, tone(skin, 0.84), 0.012)
    # The chin throws its shadow on the neck.
    c.fill(c.place(ellipse(0.06, 0.95, 0.5, 0.3)), tone(skin, 0.58), 0.09, 0.75, inside=at)
    c.fill(c.place(ellipse(0.4, 1.3, 0.16, 0.5)), tone(skin, 0.6), 0.08, 0.6, inside=at)
    half = [
        (0.1, 1.66),
        (0.34, 1.55),
        (0.52, 1.34),
        (0.62, 1.32),
        (1.0, 1.46),
        (1.55, 1.66),
        (1.86, 2.1),
        (2.0, 3.0),
        (1.9, 3.4),
    ]
    cloth = rounded(mirrored(half))
    at = c.place(cloth)
    c.fill(at, shirt, 0.012)
    c.fill(c.place(ellipse(-0.95, 1.7, 0.6, 0.16)), tone(shirt, 1.22), 0.12, 0.6, inside=at)
    c.fill(c.place(ellipse(1.45, 2.2, 0.5, 0.8)), tone(shirt, 0.7), 0.2, 0.7, inside=at)
    collar = rounded([(-0.57, 1.33), (-0.4, 1.52), (0.0, 1.72), (0.4, 1.52), (0.57, 1.33)], closed=False)
    c.stroke(c.place(collar), tone(shirt, 0.78), 0.06, 0.012)
    c.stroke(c.place(collar - [0, 0.03]), tone(shirt, 1.15), 0.018, 0.008)
    for side in (-1, 1):
        fold = rounded([(side * 1.2, 2.9), (side * 1.16, 2.3), (side * 1.26, 1.95)], closed=False)
        c.stroke(c.place(fold), tone(shirt, 0.72), 0.03, 0.03)


def _head(c: Canvas) -> Points:
    skin = c.looks.skin
    for side in () if c.looks.long_hair else (-1, 1):
        c.fill(c.place(ellipse(side * 0.79, 0.12, 0.11, 0.22), _EARS), tone(skin, 0.9), 0.01)
        c.fill(c.place(ellipse(side * 0.80, 0.12, 0.055, 0.14), _EARS), tone(skin, 0.7), 0.025, 0.7)
    drop = 0.12 * c.pose.mouth
    jaw = [(0.3, -1.0), (0.66, -0.82), (0.8, -0.35), (0.78, 0.18), (0.7, 0.58), (0.5, 0.92 + drop), (0.2, 1.13 + drop)]
    outline = c.place(rounded(mirrored(jaw)))
    c.fill(outline, tone(skin, 0.93), 0.010)
    c.fill(c.place(ellipse(-0.12, 0.02, 0.5, 0.7), 0.3), tone(skin, 1.04), 0.2, 0.9, inside=outline)
    # The side away from the light, under the chin, and the temples.
    c.fill(c.place(ellipse(0.82, 0.2, 0.2, 0.9), 0.1), tone(skin, 0.66), 0.16, 0.75, inside=outline)
    c.fill(c.place(ellipse(-0.86, 0.3, 0.12, 0.8), 0.1), tone(skin, 0.78), 0.10, 0.6, inside=outline)
    c.fill(c.place(ellipse(0.1, 1.14 + drop, 0.5, 0.08), 0.1), tone(skin, 0.7), 0.09, 0.7, inside=outline)
    c.fill(c.place(ellipse(0, -0.8, 0.7, 0.2), 0.1), tone(skin, 0.72), 0.12, 0.6, inside=outline)
    c.fill(c.place(ellipse(-0.12, -0.45, 0.34, 0.14), _CHEEKS), tone(skin, 1.12), 0.12, 0.6, inside=outline)
    blush = (min(skin[0] * 1.03, 255), skin[1] * 0.84, skin[2] * 0.82)
    for side in (-1, 1):
        c.fill(c.place(ellipse(side * 0.44, 0.38, 0.17, 0.12), _CHEEKS), blush, 0.10, 0.5, inside=outline)
    c.fill(c.place(ellipse(-0.42, 0.24, 0.13, 0.07), _CHEEKS), tone(skin, 1.14), 0.07, 0.5, inside=outline)
    c.fill(c.place(ellipse(0, 0.95 + drop, 0.13, 0.07), _LIPS), tone(skin, 1.07), 0.06, 0.5, inside=outline)
    return outline


def _eye(c: Canvas, side: int) -> None:
    looks, pose = c.looks, c.pose
    x, half, opened = side * 0.335, 0.165, 0.085 * (1 - pose.lids)
    upper = np.stack([x + half * _ACROSS, -0.015 - opened * _ARCH - 0.006 * side * _ACROSS], 1)
    lower = np.stack([x + half * _ACROSS, -0.005 + (0.45 * opened + 0.012) * _ARCH - 0.006 * side * _ACROSS], 1)
    c.fill(c.place(ellipse(x, -0.03, 0.22, 0.13), _CHEEKS), tone(looks.skin, 0.8), 0.05, 0.6)
    if opened > 0.012:
        white = c.place(np.concatenate([upper, lower[::-1]]), _EYES)
        iris = x + 0.055 * pose.gaze
        c.fill(white, (236, 233, 230), 0.006)
        c.fill(c.place(ellipse(iris, -0.03, 0.074, 0.074), _EYES), tone(looks.iris, 0.55), 0.006, inside=white)
        c.fill(c.place(ellipse(iris, -0.025, 0.060, 0.060), _EYES), looks.iris, 0.012, inside=white)
        c.fill(c.place(ellipse(iris, -0.005, 0.036, 0.025), _EYES), tone(looks.iris, 1.4), 0.012, 0.6, inside=white)
        c.fill(c.place(ellipse(iris, -0.03, 0.033, 0.033), _EYES), (16, 14, 14), 0.004, inside=white)
        # The upper lid shades the eyeball; the window shines in it.
        c.stroke(c.place(upper + [0, 0.012], _EYES), (92, 76, 72), 0.035, 0.014, inside=white)
        c.fill(c.place(ellipse(iris - 0.024, -0.055, 0.014, 0.014), _EYES), (252, 252, 252), 0.003, inside=white)
    crease = upper * [1, 1] - np.stack([0 * _ARCH, 0.028 + 0.012 * _ARCH], 1)
    c.stroke(c.place(crease[3:-3], _EYES), tone(looks.skin, 0.66), 0.012, 0.010)
    c.stroke(c.place(upper, _EYES), tone(looks.hair, 0.5), 0.024, 0.006)
    c.stroke(c.place(lower, _EYES), tone(looks.skin, 0.62), 0.010, 0.007)
    _brow(c, side, x)


def _brow(c: Canvas, side: int, x: float) -> None:
    lift = -0.235 - 0.03 * c.pose.mouth
    line = np.stack([x + 0.2 * _ACROSS, lift - 0.06 * c.looks.brow * _ARCH - 0.012 * side * _ACROSS], 1)
    thick = 0.016 + 0.016 * np.clip(1 - side * _ACROSS * 0.8, 0, 1.3)
    above, below = line - np.stack([0 * thick, thick], 1), line + np.stack([0 * thick, thick * 0.7], 1)
    c.fill(c.place(np.concatenate([above, below[::-1]]), 0.42), tone(c.looks.hair, 0.8), 0.012, 0.92)


def _nose(c: Canvas, face: Points) -> None:
    skin = c.looks.skin
    side = rounded([(0.06, -0.12), (0.07, 0.1), (0.13, 0.3), (0.15, 0.38)], closed=False)
    c.stroke(c.place(side, 0.65), tone(skin, 0.8), 0.06, 0.04, inside=face)
    c.stroke(c.place(np.array([[-0.015, -0.12], [-0.015, 0.3]]), _NOSE), tone(skin, 1.12), 0.05, 0.04)
    c.fill(c.place(ellipse(0, 0.36, 0.12, 0.085), 0.85), tone(skin, 1.04), 0.03)
    for wing in (-1, 1):
        c.fill(c.place(ellipse(wing * 0.115, 0.385, 0.05, 0.055), 0.7), tone(skin, 0.9), 0.02)
        c.fill(c.place(ellipse(wing * 0.062, 0.425, 0.032, 0.016), _NOSE), tone(skin, 0.42), 0.008)
    c.fill(c.place(ellipse(-0.025, 0.335, 0.03, 0.025), 0.85), tone(skin, 1.2), 0.02, 0.8)
    c.stroke(c.place(ellipse(0, 0.40, 0.13, 0.05, 20, 160), 0.7), tone(skin, 0.74), 0.018, 0.012)
    c.fill(c.place(ellipse(0.02, 0.49, 0.07, 0.05), 0.6), tone(skin, 0.86), 0.03, 0.6)


def _mouth(c: Canvas) -> None:
    skin, opened = c.looks.skin, c.pose.mouth
    lip = (skin[0] * 0.86, skin[1] * 0.58, skin[2] * 0.58)
    half, y = 0.27 - 0.04 * opened, 0.685
    bow = 0.016 * np.exp(-((_ACROSS / 0.16) ** 2))
    line = y - 0.03 * (1 - _ARCH)  # a hint of a smile
    top = np.stack([half * _ACROSS, line - 0.055 * _ARCH + bow - 0.02 * opened * _ARCH], 1)
    inner_top = np.stack([0.92 * half * _ACROSS, line - 0.004 - 0.012 * opened * _ARCH], 1)
    inner_low = np.stack([0.92 * half * _ACROSS, line + 0.004 + 0.20 * opened * _ARCH], 1)
    low = np.stack([half * _ACROSS, line + (0.078 + 0.20 * opened) * _ARCH], 1)
    edge = c.place(np.concatenate([top, low[::-1]]), _LIPS)
    c.fill(edge, lip, 0.010)
    c.fill(c.place(np.concatenate([top, inner_top[::-1]]), _LIPS), tone(lip, 0.84), 0.012, 0.8, inside=edge)
    shine = ellipse(-0.03, y + 0.045 + 0.20 * opened, 0.10, 0.012)
    c.fill(c.place(shine, _LIPS), tone(lip, 1.3), 0.014, 0.8, inside=edge)
    if opened > 0.08:
        hole = c.place(np.concatenate([inner_top, inner_low[::-1]]), 0.5)
        c.fill(hole, (58, 22, 24), 0.006)
        c.fill(c.place(ellipse(0, y + 0.19 * opened, 0.15, 0.06 * opened), 0.5), (170, 84, 86), 0.015, inside=hole)
        teeth = np.concatenate([inner_top * [0.9, 1], (inner_top * [0.8, 1] + [0, 0.06])[::-1]])
        c.fill(c.place(teeth, 0.5), (232, 227, 220), 0.006, inside=hole)
        c.stroke(c.place(inner_top, 0.5), tone(lip, 0.55), 0.012, 0.008)
    else:
        c.stroke(c.place(inner_top, _LIPS), tone(lip, 0.5), 0.014, 0.006)
    under = np.array([[-0.12, y + 0.14], [0.12, y + 0.14]]) + [0, 0.2 * opened]
    c.stroke(c.place(under, 0.5), tone(skin, 0.78), 0.025, 0.025)
    for side in (-1, 1):
        c.fill(c.place(ellipse(side * (half + 0.015), y - 0.03, 0.025, 0.02), _LIPS), tone(skin, 0.74), 0.015, 0.7)


def _hair_before(c: Canvas) -> None:
    hair = c.looks.hair
    if c.looks.long_hair:
        outer = [
            (-0.98, 0.55),
            (-1.0, -0.3),
            (-0.8, -0.95),
            (-0.3, -1.2),
            (0.35, -1.2),
            (0.82, -0.93),
            (1.0, -0.3),
            (0.98, 0.55),
        ]
        inner = [
            (0.82, 0.5),
            (0.8, -0.1),
            (0.62, -0.5),
            (0.1, -0.86),
            (-0.2, -0.78),
            (-0.6, -0.45),
            (-0.78, -0.1),
            (-0.82, 0.5),
        ]
    else:
        outer = [
            (-0.84, 0.1),
            (-0.9, -0.35),
            (-0.86, -0.9),
            (-0.4, -1.22),
            (0.3, -1.24),
            (0.82, -0.98),
            (0.9, -0.35),
            (0.84, 0.1),
        ]
        inner = [
            (0.77, 0.02),
            (0.74, -0.36),
            (0.6, -0.6),
            (0.3, -0.62),
            (-0.1, -0.72),
            (-0.52, -0.58),
            (-0.72, -0.36),
            (-0.77, 0.02),
        ]
    shape = c.place(rounded(outer + inner), _SKULL)
    # Its own shadow first, then the hair, then strands from the parting that stay inside.
    c.fill(shape + [0, 0.05 * c.unit], tone(c.looks.skin, 0.5), 0.05, 0.35, inside=c.place(ellipse(0, 0, 0.78, 1.0)))
    c.fill(shape, tone(hair, 0.95), 0.012)
    c.fill(c.place(ellipse(0.75, -0.6, 0.25, 0.6), _SKULL), tone(hair, 0.6), 0.14, 0.7, inside=shape)
    parting = np.array([0.22, -1.06])
    for number in range(26):
        angle = np.radians(-100 + 200 * number / 25)
        end = np.array([np.sin(angle) * 1.05, -0.35 - 0.62 * np.cos(angle) + 0.42])
        bend = (parting + end) / 2 + [0.22 * np.sin(angle), -0.24]
        strand = rounded([tuple(parting), tuple(bend), tuple(end)], closed=False)
        shade = (1.35, 0.7, 1.15, 0.8)[number % 4]
        c.stroke(c.place(strand, _SKULL), tone(hair, shade), 0.018, 0.016, inside=shape)
    c.fill(c.place(ellipse(-0.34, -0.98, 0.3, 0.07), _SKULL), tone(hair, 1.7), 0.07, 0.55, inside=shape)
