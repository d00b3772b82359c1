"""The one tree of errors that visavis raises on purpose.

The command line prints such an error in one line and exits with 1; anything else is a bug and keeps its
traceback. Every message says what was wrong and what is allowed.
"""


class VisavisError(Exception):
    """Base of all errors raised on purpose."""


class MediaError(VisavisError):
    """A picture, video or sound file cannot be read or written."""


class FaceError(VisavisError):
    """No usable face where one is needed."""


class WeightsError(VisavisError):
    """A checkpoint is missing, damaged, of another family, or does not fit its network."""


class ConfigError(VisavisError):
    """A setting is unknown, has the wrong type, or is out of range."""


class DataError(VisavisError):
    """A data set or shard is missing, empty or damaged."""


class OutputError(VisavisError):
    """A result cannot be written where it was asked for."""


class CodecError(VisavisError):
    """A coded call is damaged, of another version, or does not fit the weights at hand."""
