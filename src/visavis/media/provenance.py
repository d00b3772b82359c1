"""Marks that say a picture or video was made by a machine."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

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


_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"{}><dc:description><rdf:Alt>'
    '<rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>'
)
_SOURCE_TYPE = (
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    f' Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"'
)


def xmp(comment: str) -> bytes:
    """A comment as XMP, for pictures; one that names the source type gives it in the field that tools read, too."""
    return _XMP.format(_SOURCE_TYPE if DIGITAL_SOURCE_TYPE in comment else "", escape(comment)).encode()
