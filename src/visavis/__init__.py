"""visavis: audio-visual talking heads.

The public API is what ``__all__`` lists; each name is imported when it is first used, so that ``import visavis``
stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from visavis.core.processor import let_threads_sleep

if TYPE_CHECKING:
    from visavis.core.errors import VisavisError
    from visavis.media.frame import Frame, Sound
    from visavis.nn.engine import Engine
    from visavis.pipelines.call.decode_file import decode_file
    from visavis.pipelines.call.decoder import CallDecoder
    from visavis.pipelines.call.encode_file import EncodeOptions, encode_file
    from visavis.pipelines.call.encoder import CallEncoder
    from visavis.pipelines.call.settings import CallSettings
    from visavis.pipelines.call.weights import WeightsId
    from visavis.pipelines.door import Reenactor, read_frames
    from visavis.pipelines.dub import DubOptions, DubReport, dub_file
    from visavis.pipelines.edit import EditOptions, EditReport, edit_file
    from visavis.pipelines.files import ReenactOptions, ReenactReport, reenact_file
    from visavis.pipelines.load import load_generator
    from visavis.pipelines.talk import TalkOptions, TalkReport, talk_file
    from visavis.pipelines.talker import Talker

__version__ = "0.1.0"

# The one thing done at import: a line in this process's environment, which is too late once torch is loaded.
let_threads_sleep()

_HOMES = {
    "CallDecoder": "visavis.pipelines.call.decoder",
    "CallEncoder": "visavis.pipelines.call.encoder",
    "CallSettings": "visavis.pipelines.call.settings",
    "DubOptions": "visavis.pipelines.dub",
    "DubReport": "visavis.pipelines.dub",
    "EditOptions": "visavis.pipelines.edit",
    "EditReport": "visavis.pipelines.edit",
    "EncodeOptions": "visavis.pipelines.call.encode_file",
    "Engine": "visavis.nn.engine",
    "Frame": "visavis.media.frame",
    "ReenactOptions": "visavis.pipelines.files",
    "ReenactReport": "visavis.pipelines.files",
    "Reenactor": "visavis.pipelines.door",
    "Sound": "visavis.media.frame",
    "TalkOptions": "visavis.pipelines.talk",
    "TalkReport": "visavis.pipelines.talk",
    "Talker": "visavis.pipelines.talker",
    "VisavisError": "visavis.core.errors",
    "WeightsId": "visavis.pipelines.call.weights",
    "decode_file": "visavis.pipelines.call.decode_file",
    "dub_file": "visavis.pipelines.dub",
    "edit_file": "visavis.pipelines.edit",
    "encode_file": "visavis.pipelines.call.encode_file",
    "load_generator": "visavis.pipelines.load",
    "read_frames": "visavis.pipelines.door",
    "reenact_file": "visavis.pipelines.files",
    "talk_file": "visavis.pipelines.talk",
}

__all__ = [
    "CallDecoder",
    "CallEncoder",
    "CallSettings",
    "DubOptions",
    "DubReport",
    "EditOptions",
    "EditReport",
    "EncodeOptions",
    "Engine",
    "Frame",
    "ReenactOptions",
    "ReenactReport",
    "Reenactor",
    "Sound",
    "TalkOptions",
    "TalkReport",
    "Talker",
    "VisavisError",
    "WeightsId",
    "decode_file",
    "dub_file",
    "edit_file",
    "encode_file",
    "load_generator",
    "read_frames",
    "reenact_file",
    "talk_file",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'visavis' has no attribute '{name}'")
