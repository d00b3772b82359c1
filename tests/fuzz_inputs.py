"""Damaged and hostile inputs over all verbs: ``python tests/fuzz_inputs.py [--inputs 2000] [--only TEXT]``.

Every input is a good one that was mutated: bytes flipped, blocks cut, moved, doubled or blanked, length fields set to
the ends of their range, and, where the form is known, the inside changed with sums and lengths put right again. A
worker process runs the verb. A finding is a traceback, a crash, more than 60 s, more than 2 GB, or something left
behind.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fuzz_mutations import MUTATORS, mutated

#: Of the worker's own time, since the machine may be busy elsewhere; and of one that waits for nothing.
MOST_SECONDS, MOST_WAITED_S = 60, 300
MOST_BYTES = 2 << 30
#: How often a worker is replaced, so that what adds up in libraries is not blamed on an input.
_JOBS_A_WORKER = 200
_FOREIGN = ("matplotlib-", "torchinductor", "pymp-", "__pycache__")


@dataclass(frozen=True)
class Kind:
    """One way in which an input is used.

    Attributes:
        name: of the verb and input.
        seed: good file, in the folder of seeds, that is mutated.
        command: of the verb; ``{bad}`` is the input, ``{out}`` an empty folder, ``{data}`` the folder of the input.
        share: how many inputs of a hundred are of this kind.
        inside: where in ``{data}`` the input lies.
        may_ask_for_memory: whether the input is the user's own wish, which may be for more than there is.
    """

    name: str
    seed: str
    command: str
    share: int
    inside: str = ""
    may_ask_for_memory: bool = False


_MODEL = "--model tiny.safetensors"
_HEADS = "--model heads.safetensors"
_TRAIN = "--steps 1 --stop-after 20 --device cpu --out {out}/run"
_BY = "reenact portrait.png driving.mp4 -o {out}/o.mp4 --model {bad}"
KINDS = (
    Kind("reenact a video", "driving.mp4", f"reenact portrait.png {{bad}} -o {{out}}/o.mp4 {_MODEL}", 7),
    Kind("encode a video", "driving.mp4", f"encode {{bad}} -o {{out}}/o.vsv {_MODEL}", 4),
    Kind("prepare a video", "driving.mp4", "prepare {data} -o {out}/shards", 4, "a.mp4"),
    Kind("reenact a picture", "portrait.png", f"reenact {{bad}} driving.mp4 -o {{out}}/o.mp4 {_MODEL}", 5),
    Kind("reenact a photograph", "portrait.jpg", f"reenact {{bad}} driving.mp4 -o {{out}}/o.mp4 {_MODEL}", 4),
    Kind("decode a call", "call.vsv", f"decode {{bad}} -o {{out}}/o.mp4 {_MODEL}", 12),
    Kind("inspect a call", "call.vsv", "inspect {bad}", 4),
    Kind("train on shards", "train-00000.tar", f"train good.toml --data {{data}} {_TRAIN}", 12, "train-00000.tar"),
    Kind("inspect weights", "tiny.safetensors", "inspect {bad}", 6),
    Kind("reenact by weights", "tiny.safetensors", _BY, 5),
    Kind("convert weights", "published.pth", "weights convert {bad} -o {out}/w.safetensors --size 64", 3),
    Kind("train by a recipe", "good.toml", f"train {{bad}} --data good {_TRAIN}", 7, may_ask_for_memory=True),
    Kind("prepare by a manifest", "manifest.csv", "prepare {data} -o {out}/shards", 4, "manifest.csv"),
    Kind("decode a call of heads", "heads.vsv", f"decode {{bad}} -o {{out}}/o.mp4 {_HEADS}", 7),
    Kind("inspect weights of heads", "heads.safetensors", "inspect {bad}", 3),
    Kind("reenact by weights of heads", "heads.safetensors", _BY, 5),
    Kind(
        "train heads on shards", "train-00000.tar", f"train heads.toml --data {{data}} {_TRAIN}", 4, "train-00000.tar"
    ),
    Kind("train heads by a recipe", "heads.toml", f"train {{bad}} --data good {_TRAIN}", 4, may_ask_for_memory=True),
)


def make_seeds(folder: Path) -> None:
    """Write the good inputs, as small as they can be."""
    from fractions import Fraction

    import torch

    from made import made_shards, run, tiny_heads, tiny_weights
    from made_heads import TINY
    from visavis.drawn.synthetic import draw, write_clip
    from visavis.generators.keypoint import FirstOrderModel, KeypointConfig
    from visavis.media.still import write_picture

    write_picture(folder / "portrait.png", draw(128, seed=0))
    write_picture(folder / "portrait.jpg", draw(128, seed=0))
    write_clip(folder / "driving.mp4", 0.16, seed=1, size=128, fps=Fraction(25))
    tiny_weights(folder / "tiny.safetensors")
    tiny_heads(folder / "heads.safetensors")
    (folder / "heads.toml").write_text(TINY.replace("sound = 12", "sound = 300"))
    (folder / "good.toml").write_text(_RECIPE)
    (folder / "manifest.csv").write_text("id,identity,split,av_sync\na,one,train,likely\nb,two,val,unsure\n")
    shutil.copyfile(made_shards(folder / "good", clips=1) / "train-00000.tar", folder / "train-00000.tar")
    network = FirstOrderModel(KeypointConfig.tiny())
    parts = {name: dict(getattr(network, name).state_dict()) for name in ("generator", "kp_detector")}
    torch.save(parts, folder / "published.pth")
    for model, call in (("tiny", "call"), ("heads", "heads")):
        weights = folder / f"{model}.safetensors"
        assert run(["encode", folder / "driving.mp4", "-o", folder / f"{call}.vsv", "--model", weights]) == 0


_RECIPE = """# a run
steps = 1
batch = 1
accumulate = 1
learning_rate = 1e-3
schedule = "cosine"
stride = 2
seed = 3
log_every = 1
checkpoint_every_s = 300.0
threads = 1
region_weight = 2.0
perceptual = "none"
[model]
preset = "tiny"
keypoints = 3
widths = [4, 6, 8]
[losses]
l1 = 10.0
perceptual = 0.0
"""


class Worker:
    """A process that runs verbs, one after the other."""

    def __init__(self, seeds: Path) -> None:
        self.jobs = 0
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--work", str(seeds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it is ready

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run a job; a worker that ends or takes too long is gone afterwards."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self.jobs += 1
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        ready = self._waited()
        line = self._process.stdout.readline() if ready else b""
        if line:
            return json.loads(line)  # type: ignore[no-any-return]
        self.close()
        status = self._process.returncode
        return {"found": f"took more than {MOST_SECONDS} s" if not ready else f"crashed with status {status}"}

    def _waited(self) -> bool:
        """Whether the answer came in time."""
        began, before = time.monotonic(), self._seconds()
        while time.monotonic() - began < MOST_WAITED_S and self._seconds() - before < MOST_SECONDS:
            if select.select([self._process.stdout], [], [], 1)[0]:
                return True
        return False

    def _seconds(self) -> float:
        """Processor time of the worker so far."""
        try:
            words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    @property
    def is_gone(self) -> bool:
        return self._process.poll() is not None or self.jobs >= _JOBS_A_WORKER


def work(seeds: Path) -> None:
    """Be a worker: read jobs from stdin, answer on what was stdout."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    import cv2  # noqa: F401
    import torch

    import visavis.data.prepare.run
    import visavis.pipelines.call.decode_file
    import visavis.pipelines.call.encode_file
    import visavis.pipelines.describe
    import visavis.pipelines.files
    import visavis.training.run  # noqa: F401

    torch.set_num_threads(1)
    os.chdir(seeds)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MOST_BYTES, resource.RLIM_INFINITY))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_judged(json.loads(line))), file=answers, flush=True)


def _judged(job: dict[str, Any]) -> dict[str, Any]:
    from visavis.cli.main import main

    sys.argv = ["visavis", *job["command"]]
    with tempfile.TemporaryFile() as errors:
        shown, found, status = os.dup(2), "", 0
        os.dup2(errors.fileno(), 2)
        try:
            main()
        except SystemExit as done:
            status = done.code if isinstance(done.code, int) else 1
        except BaseException:
            found = traceback.format_exc()
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if not found:
        found = _fault(status, said, job)
    return {"found": found, "status": status, "said": said[-2000:]}


def _fault(status: int, said: str, job: dict[str, Any]) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    if status not in (0, 1):
        return f"ended with status {status}"
    if status and (len(lines) != 1 or not lines[0].startswith("error: ")):
        return "did not say what is wrong in one line"
    if "out of memory" in said and not job["may_ask_for_memory"]:
        return "wanted more than 2 GB"
    left = _left(Path(job["out"]), status) + _left(Path(tempfile.gettempdir()), 1)
    return f"left behind: {', '.join(left[:5])}" if left else ""


def _left(folder: Path, status: int) -> list[str]:
    """What should not be there: after an error anything but a run that may be resumed, else hidden files."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith(_FOREIGN))
    if status:
        return [name for name in names if name not in ("run", "fuzz-inputs")]
    return [name for name in names if name.startswith(".")]


def search(count: int, seed: int, keep: Path, only: str = "", say: Callable[[str], None] = print) -> list[str]:
    """Run so many mutated inputs, of kinds with ``only`` in their name.

    Returns:
        A line a finding, whose input and story are kept in the folder ``keep``.
    """
    draw, findings, times = random.Random(seed), list[str](), Counter[str]()
    kinds = [kind for kind in KINDS for _ in range(kind.share) if only in kind.name]
    draw.shuffle(kinds)
    with tempfile.TemporaryDirectory(prefix="fuzz-inputs") as folder:
        seeds, place = Path(folder) / "seeds", Path(folder) / "tmp"
        seeds.mkdir()
        make_seeds(seeds)
        place.mkdir()
        os.environ["TMPDIR"] = str(place)
        worker = Worker(seeds)
        for number in range(count):
            kind = kinds[number % len(kinds)]
            how, data = mutated((seeds / kind.seed).read_bytes(), kind.seed, draw)
            job, bad = _laid_out(Path(folder) / "job", kind, data)
            began = time.monotonic()
            answer = worker.run(job)
            times[kind.name] += round(1000 * (time.monotonic() - began))
            if answer["found"]:
                findings.append(_kept(keep, number, kind, how, bad, answer))
                say(findings[-1])
            if worker.is_gone:
                worker.close()
                shutil.rmtree(place)
                place.mkdir()
                worker = Worker(seeds)
            if number % 100 == 99:
                say(f"{number + 1} inputs, {len(findings)} findings")
        worker.close()
    say("seconds: " + ", ".join(f"{name} {ms / 1000:.0f}" for name, ms in times.most_common()))
    return findings


def _laid_out(folder: Path, kind: Kind, data: bytes) -> tuple[dict[str, Any], Path]:
    shutil.rmtree(folder, ignore_errors=True)
    out, inside = folder / "out", folder / "data"
    out.mkdir(parents=True)
    inside.mkdir()
    bad = inside / (kind.inside or kind.seed)
    bad.write_bytes(data)
    words = [word.format(bad=bad, out=out, data=inside) for word in kind.command.split()]
    job = {"command": words, "out": str(out), "may_ask_for_memory": kind.may_ask_for_memory}
    return job, bad


def _kept(keep: Path, number: int, kind: Kind, how: str, bad: Path, answer: dict[str, Any]) -> str:
    keep.mkdir(parents=True, exist_ok=True)
    name = f"{number:05d}-{kind.name.replace(' ', '-')}"
    shutil.copyfile(bad, keep / f"{name}{bad.suffix}")
    (keep / f"{name}.txt").write_text(f"{kind.command}\n{how}\n{answer['found']}\n{answer.get('said', '')}\n")
    return f"{name} ({how}): {answer['found'].strip().splitlines()[-1]}"


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds of input with this in their name, such as 'heads'")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def finish(stream: IO[str], findings: list[str]) -> int:
    """Print the sum; 1 when there is a finding."""
    print(f"{len(findings)} findings, {len(MUTATORS)} ways to mutate", file=stream)
    return int(bool(findings))


if __name__ == "__main__":
    options = _arguments(sys.argv[1:])
    if options.work is not None:
        work(options.work)
    else:
        raise SystemExit(finish(sys.stdout, search(options.inputs, options.seed, options.keep, options.only)))
