"""Every engine is timed by turns, alone or beside busy neighbours."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from made import run, tiny_weights
from visavis.nn.engine import ENGINES, installed
from visavis.pipelines import bench_engines
from visavis.pipelines.bench_engines import PEER, PLAIN, Variant, variants
from visavis.pipelines.neighbours import busy_neighbours


def cpu_ticks() -> int:
    """Time that ended children of this process took."""
    fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[13]) + int(fields[14])


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="no /proc")
def test_neighbours_are_busy_and_end_with_what_they_are_for():
    before = cpu_ticks()
    with busy_neighbours(1):
        time.sleep(1.0)
    assert cpu_ticks() > before


def test_every_engine_at_hand_has_a_row_between_the_plain_network_and_its_peer():
    found = variants("avfr-256", 1)
    assert (found[0].label, found[-1].label) == (PLAIN, PEER)
    assert {one.engine.name for one in found} == {name for name in ENGINES if installed(name)}
    assert [one.plain for one in found] == [True, *[False] * (len(found) - 2), True]


def test_the_command_line_times_engines_and_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    weights = tiny_weights(tmp_path / "tiny.safetensors")

    def two(model: str, threads: int | None) -> list[Variant]:
        return variants(model, threads)[:2]

    monkeypatch.setattr(bench_engines, "variants", two)
    command = ["bench", "--engines", "--model", weights, "--frames", 5, "--threads", 1, "--beside", 1, "--json"]
    assert run([*command, "--plot", tmp_path / "plot.png"]) == 0
    report = json.loads(capsys.readouterr().out)
    plain, other = report["rows"]
    assert plain["label"] == PLAIN and plain["of_plain"] == 1
    assert other["ms"] > 0 and other["cpu_ms"] > 0 and other["start_s"] > 0 and other["peak_rss_mb"] > 50
    assert report["beside"] == 1 and report["frames"] >= 5
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert PLAIN in bench_engines.table(report)


def test_a_plot_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]):
    assert run(["bench", "--plot", "a.png"]) == 2
    assert "--engines" in capsys.readouterr().err
