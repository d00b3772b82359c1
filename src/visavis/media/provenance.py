"""Marks that say a picture or video was made by a machine."""

from __future__ import annotations

#: IPTC's term for media made by a trained model.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def marks(model: str) -> dict[str, str]:
    """Container metadata of a produced video: players show the comment, tools read the source type.

    Args:
        model: name of the model that made the pictures.
    """
    statement = (
        f"AI-generated: synthetic talking head made with visavis ({model}). digitalSourceType={DIGITAL_SOURCE_TYPE}"
    )
    return {"comment": statement, "description": statement, "encoder": "visavis"}
