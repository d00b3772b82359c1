"""Blind studies: the page keeps its secret and runs from a file; the table agrees with a hand computation."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import av
import pytest

from made import run
from visavis.drawn.synthetic import draw, write_clip
from visavis.evaluation.study.form import SCORES, Key, Shown
from visavis.evaluation.study.page import page
from visavis.evaluation.study.tabulate import Answers, markdown, tabulate
from visavis.media.still import write_picture

NAMES = [score.name for score in SCORES]
BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
HOSTILE = "</script><script>alert(1)</script>&'\"`|x".replace("/", "\N{FRACTION SLASH}")

#: Rates every screen by the keyboard, breaks off and starts again in between, and leaves the download in the title.
RATER = """
<script>
const press = (key) => {
  const focus = document.activeElement;
  const unused = focus.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  if (unused && key === "Enter" && focus.tagName === "BUTTON") focus.click();  // as browsers do for real keys
};
URL.createObjectURL = (blob) => { blob.text().then((text) => { document.title = text; }); return "#"; };
HTMLAnchorElement.prototype.click = () => {};
const begin = () => { $("rater").value = "ann"; $("start").requestSubmit(); };
const seen = [];
begin();
for (const [number, screen] of [...order].entries()) {
  seen.push($("result").src.split("/").pop());
  press("Enter");
  if (order[at] !== screen) throw new Error("went on without an answer");
  for (const key of ["1", "3", "5"]) press(key);
  press("Enter");
  if (number === 0) { answers = {}; at = 0; begin(); press("b"); $("next").click(); }
}
document.body.dataset.done = String(!$("done").hidden);
document.body.dataset.seen = seen.join(" ");
document.querySelector("#done .download").dispatchEvent(new Event("click"));
</script>
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models' folders with two results each, one of them of a hostile name; sources and drivers."""
    folder = tmp_path_factory.mktemp("clips")
    for where in ("secret-a", "secret-b", "drivers", "sources"):
        (folder / where).mkdir()
    for seed, name in enumerate((HOSTILE, "plain")):
        for where in ("secret-a", "secret-b", "drivers"):
            write_clip(folder / where / f"{name}.mp4", 0.2, seed=seed, size=64)
        write_picture(folder / "sources" / f"{name}.png", draw(64, seed=seed))
    return folder


@pytest.fixture(scope="module")
def study(clips: Path) -> Path:
    """The page of those clips."""
    assert run([*command(clips), "-o", clips / "study"]) == 0
    return clips / "study"


def command(clips: Path) -> list[object]:
    """The verb with its inputs."""
    models = [clips / "secret-a", clips / "secret-b"]
    return ["study", *models, "--source", clips / "sources", "--driving", clips / "drivers"]


def test_the_page_names_no_model_and_reaches_no_network(study: Path):
    text = (study / "index.html").read_text()
    for word in ("secret", "plain", "alert(", "http:", "https:", "src=", "@import", "fetch("):
        assert word not in text, word
    for path in (study / "media").iterdir():
        assert re.fullmatch(r"[0-9a-f]{16}\.(mp4|png)", path.name)
        assert b"secret" not in path.read_bytes()
    assert len(list((study / "media").glob("*.mp4"))) == 4 + 2


def test_every_result_is_playable_and_in_the_key(study: Path):
    key = Key.read(study.with_name("study.key.json"))
    assert {(shown.item, shown.model) for shown in key.shown} == {
        (item, model) for item in (HOSTILE, "plain") for model in ("secret-a", "secret-b")
    }
    for shown in key.shown:
        with av.open(str(study / "media" / f"{shown.id}.mp4")) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            assert "AI-generated" in container.metadata["comment"]
            assert len(list(container.decode(video=0))) == 5


def test_the_same_seed_draws_the_same_page(clips: Path, study: Path, tmp_path: Path):
    assert run([*command(clips), "-o", tmp_path / "again"]) == 0
    assert (tmp_path / "again" / "index.html").read_bytes() == (study / "index.html").read_bytes()
    assert run([*command(clips), "-o", tmp_path / "other", "--seed", 1]) == 0
    assert (tmp_path / "other" / "index.html").read_bytes() != (study / "index.html").read_bytes()


def test_nothing_can_end_the_script_early():
    text = page("</script><!--", [{"id": "</script>", "source": "&amp;", "driving": "x"}])
    assert text.count("</script>") == 1
    assert "<!--" not in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--key", "{out}/study/key.json"], "outside"),
        (["--source", "{clips}/nowhere"], "nowhere"),
        (["--source", "{clips}/empty"], "has no file"),
        (["--driving", "{clips}/text.mp4", "--source", "{clips}/sources"], "text.mp4"),
    ],
)
def test_bad_studies_are_refused_in_one_line(
    change: list[str], said: str, clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    (clips / "empty").mkdir(exist_ok=True)
    (clips / "text.mp4").write_text("no video")
    changed = [part.format(clips=clips, out=tmp_path) for part in change]
    assert run([*command(clips), "-o", tmp_path / "study", *changed]) == 1
    printed = capfd.readouterr()
    assert said in printed.err and printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_another_folder_is_never_replaced(clips: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    assert run([*command(clips), "-o", tmp_path / "mine", "--force"]) == 1
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_browser_rates_the_page_from_a_file_by_keyboard(study: Path, tmp_path: Path):
    """Also: progress survives a break, the order covers every result, and the download tabulates."""
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    text = (copy / "index.html").read_text()
    (copy / "index.html").write_text(text.replace("</body>", RATER + "</body>"))
    assert BROWSER is not None
    dumped = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        + ["--virtual-time-budget=3000", "--dump-dom", (copy / "index.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    title = re.search(r"<title>(.*?)</title>", dumped, re.S)
    seen = re.search(r'data-seen="([^"]*)"', dumped)
    assert title and seen and 'data-done="true"' in dumped
    key_path = study.with_name("study.key.json")
    key = Key.read(key_path)
    assert {name.removesuffix(".mp4") for name in seen[1].split()} == {shown.id for shown in key.shown}
    answers = json.loads(title[1])
    assert (answers["rater"], answers["study"]) == ("ann", key.study)
    assert set(answers["answers"]) == {shown.id for shown in key.shown}
    assert all(scores == {"head_pose": 1, "expression": 3, "identity": 5} for scores in answers["answers"].values())
    (tmp_path / "ann.json").write_text(title[1])
    assert run(["study", "tabulate", tmp_path / "ann.json", "--key", key_path]) == 0


KEY = Key("s", (Shown("1", "x", "m|1"), Shown("2", "y", "m|1"), Shown("3", "x", "n"), Shown("4", "y", "n")))


def said(rater: str, **scores: int) -> Answers:
    """One rater who gives all three questions the same score."""
    return Answers(rater, {name[1:]: dict.fromkeys(NAMES, score) for name, score in scores.items()})


def test_the_table_is_that_of_a_hand_computation():
    """Raters' means of m are 3, 4 and 5: mean 4, deviation 1, t(0.975, 2) = 4.3027, half = 4.3027 / sqrt(3)."""
    report = tabulate([said("a", _1=2, _2=4, _3=1), said("b", _1=4), said("c", _1=5, _2=5)], KEY)
    first, second = report["rows"]
    assert (first["model"], first["answers"], report["raters"]) == ("m|1", 5, 3)
    half = 4.302653 / 3**0.5
    for name in NAMES:
        assert first[name] == pytest.approx({"mean": 4.0, "low": 4 - half, "high": 4 + half}, abs=1e-5)
        assert second[name] == {"mean": 1.0, "low": None, "high": None}
    assert "| m\\|1 | 4.00 [1.52, 6.48] |" in markdown(report)
    assert "| n | 1.00 | 1.00 | 1.00 | 1 |" in markdown(report)


GOOD: dict[str, Any] = {"study": "s", "rater": "a", "answers": {"1": dict.fromkeys(NAMES, 3)}}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({**GOOD, "study": "other"}, "other"),
        ({**GOOD, "rater": " "}, "rater"),
        ({**GOOD, "answers": [1]}, "answers"),
        ({**GOOD, "answers": {"9": dict.fromkeys(NAMES, 3)}}, "did not show"),
        ({**GOOD, "answers": {"1": dict.fromkeys(NAMES, 6)}}, "from 1 to 5"),
        ({**GOOD, "answers": {"1": dict.fromkeys(NAMES, True)}}, "from 1 to 5"),
        ({**GOOD, "answers": {"1": dict.fromkeys(NAMES, 2.5)}}, "from 1 to 5"),
        ({**GOOD, "answers": {"1": {"head_pose": 3}}}, "expression"),
        ({**GOOD, "answers": {}}, "nobody"),
        ([GOOD], "object"),
        (None, "JSON"),
    ],
)
def test_answers_that_are_none_are_refused_in_one_line(
    values: object, complaint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    (tmp_path / "key.json").write_text(KEY.text())
    (tmp_path / "a.json").write_text("{" if values is None else json.dumps(values))
    assert run(["study", "tabulate", tmp_path / "a.json", "--key", tmp_path / "key.json"]) == 1
    printed = capfd.readouterr()
    assert complaint in printed.err and printed.err.count("\n") == 1


def test_one_rater_counts_once_and_the_table_is_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (tmp_path / "key.json").write_text(KEY.text())
    (tmp_path / "a.json").write_text(json.dumps(GOOD))
    (tmp_path / "b.json").write_text(json.dumps(GOOD))
    both = ["study", "tabulate", tmp_path / "a.json", tmp_path / "b.json", "--key", tmp_path / "key.json"]
    assert run(both) == 1
    assert "twice" in capfd.readouterr().err
    (tmp_path / "b.json").write_text(json.dumps({**GOOD, "rater": "b"}))
    assert run([*both, "-o", tmp_path / "table.md", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["rows"][0]["identity"] == {"mean": 3.0, "low": 3.0, "high": 3.0}
    assert report["rows"][1]["identity"] == {"mean": None, "low": None, "high": None}
    assert (tmp_path / "table.md").read_text() == markdown(report)
    assert run([*both, "-o", tmp_path / "a.json", "--force"]) == 1
