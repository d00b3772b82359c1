"""Marks that say a picture or video was made by a machine."""

from __future__ import annotations

from pathlib import Path

#: IPTC's term for media made by a trained model.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def marks(model: str) -> dict[str, str]:
    """Container metadata of a produced video: players show the comment, tools read the source type.

    Args:
        model: name or path of the model that made the pictures; a path's folders are nobody's business.
    """
    made = f"AI-generated: synthetic talking head made with visavis ({Path(model).name})."
    statement = f"{made} digitalSourceType={DIGITAL_SOURCE_TYPE}"
    return {"comment": statement, "description": statement, "encoder": "visavis"}
