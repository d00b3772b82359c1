"""Which code trains what; imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module

from visavis.core.errors import ConfigError
from visavis.training.task import Task

#: Name of a task to ``module:class``.
TASKS = {
    "avfr": "visavis.training.tasks.avfr:AvfrTask",
    "between": "visavis.training.tasks.between:BetweenTask",
    "ctc": "visavis.training.tasks.ctc:CtcTask",
    "enlarge": "visavis.training.tasks.enlarge:EnlargeTask",
    "face": "visavis.training.tasks.face:FaceTask",
    "headgan": "visavis.training.tasks.headgan:HeadganTask",
    "keypoint": "visavis.training.tasks.keypoint:KeypointTask",
    "rhythmic": "visavis.training.tasks.rhythmic:RhythmicTask",
    "speaker": "visavis.training.tasks.speaker:SpeakerTask",
    "sync": "visavis.training.tasks.sync:SyncTask",
}


def task_class(name: str) -> type[Task]:
    """Return the class of a task.

    Raises:
        ConfigError: no such task.
    """
    if name not in TASKS:
        raise ConfigError(f"unknown task '{name}'; known are: {', '.join(sorted(TASKS))}")
    module, _, attribute = TASKS[name].partition(":")
    found: type[Task] = getattr(import_module(module), attribute)
    return found
