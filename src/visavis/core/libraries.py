"""Libraries that may be missing, of the system and torch: which one is, and what brings it."""

from __future__ import annotations

import re

_MISSING = re.compile(r"(lib[\w.+-]+?\.so[\w.]*): cannot open shared object file")
#: Names of Debian's and Ubuntu's packages by what a library's name begins with.
_PACKAGES = {
    "libGLESv2": "libgles2",
    "libGL.": "libgl1",
    "libEGL": "libegl1",
    "libGLX": "libglx0",
    "libOpenGL": "libopengl0",
    "libgthread": "libglib2.0-0",
    "libglib": "libglib2.0-0",
    "libgomp": "libgomp1",
    "libSM": "libsm6",
    "libICE": "libice6",
    "libXext": "libxext6",
    "libXrender": "libxrender1",
    "libX11": "libx11-6",
    "libxcb": "libxcb1",
    "libstdc++": "libstdc++6",
    "libatomic": "libatomic1",
    "libusb-1": "libusb-1.0-0",
}
#: What OpenCV and MediaPipe need beyond a bare system: whoever lacks one, lacks others.
_ALL = "libgl1 libglib2.0-0 libegl1 libgles2"


def missing_library(error: BaseException) -> str | None:
    """What to do about an error that a missing library of the system, or torch, is behind; None if none is.

    Looks through the errors that led to it.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ModuleNotFoundError) and (seen.name or "").partition(".")[0] == "torch":
            return "this needs torch, which is not installed; pip install 'visavis[torch]' brings it"
        found = _MISSING.search(str(seen))
        if isinstance(seen, (ImportError, OSError)) and found is not None:
            return _advice(found[1])
        seen = seen.__cause__ or seen.__context__
    return None


def _advice(library: str) -> str:
    package = next((package for begin, package in _PACKAGES.items() if library.startswith(begin)), None)
    needed = _ALL if package is None or package in _ALL.split() else f"{package} {_ALL}"
    return f"the system lacks {library}; on Debian and Ubuntu: apt-get install {needed}"
