"""What a call is made of, in words where the weights that it was made with are here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visavis.codec.census import describe_call
from visavis.core.errors import VisavisError
from visavis.nn.engine import PLAIN
from visavis.pipelines.call.decode_file import read_header
from visavis.pipelines.call.weights import WeightsId, weights_for
from visavis.pipelines.load import load_generator


def describe(call: Path) -> dict[str, Any]:
    """As :func:`visavis.codec.census.describe_call`, and ``parts``: how many values each part of its motion has.

    ``parts`` is None where the weights are not here; nothing of the call but their name and hash is used for that.

    Raises:
        CodecError: it is no call, or its header cannot be read.
    """
    about = describe_call(call)
    return {**about, "parts": _parts(call)}


def _parts(call: Path) -> dict[str, int] | None:
    try:
        header = read_header(call)
        named = weights_for(header, None)
        WeightsId.of(named).check(header)
        layout = load_generator(named, PLAIN).kind.layout
    except VisavisError:
        return None
    if layout.identity != header.layout:
        return None
    return {part.name: part.size for part in layout.parts}
