"""The page of the docs: made from the JSON files alone."""

import json
from pathlib import Path

import pytest

from benchmarks.fake_results import ROWS, result
from tools.render_benchmarks import main

PNG = b"\x89PNG"


def written(folder: Path) -> Path:
    folder.mkdir()
    for kind in ROWS:
        (folder / f"{kind}.json").write_text(json.dumps(result(kind)))
    return folder


def test_every_measurement_is_on_the_page(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "performance.md"
    assert main([str(written(tmp_path / "bench")), str(page)]) == 0
    text = page.read_text()
    for words in (
        "8.00x (7.20-8.80) | 2.00x |",
        "4.00 % (3.60-4.40)",
        "0.55 (",
        "**4.00x**",
        "16,384",
        "CPU: made up",
        "abcdef0",
        "(**25%**)",
    ):
        assert words in text, words
    for name in ("roofline", "loss", "growth"):
        assert f"performance/{name}.png" in text
        assert (tmp_path / "docs" / "performance" / f"{name}.png").read_bytes().startswith(PNG)


def test_the_same_measurements_give_the_same_files(tmp_path: Path) -> None:
    source = written(tmp_path / "bench")
    for name in ("one", "two"):
        main([str(source), str(tmp_path / name / "page.md")])
    files = [sorted(path.name for path in (tmp_path / name / "page").iterdir()) for name in ("one", "two")]
    assert files[0] == files[1]
    for name in files[0]:
        assert (tmp_path / "one/page" / name).read_bytes() == (tmp_path / "two/page" / name).read_bytes()


def test_a_changed_source_is_told(tmp_path: Path) -> None:
    source = written(tmp_path / "bench")
    made = result("loss")
    made["environment"] = {**made["environment"], "git": "0123456789+"}
    (source / "loss.json").write_text(json.dumps(made))
    main([str(source), str(tmp_path / "page.md")])
    text = (tmp_path / "page.md").read_text()
    assert "revision 0123456+," in text
    assert "revision abcdef0," in text


@pytest.mark.parametrize(
    ("content", "words"), [(None, "no measurements"), ("{", "cannot be read"), ("[]", "holds no measurements")]
)
def test_what_is_no_measurement_is_refused(
    content: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "loss.json").write_text(content)
    assert main([str(tmp_path), str(tmp_path / "page.md")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_without_arguments_it_says_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "RESULTS PAGE" in capsys.readouterr().err


def test_the_readme_tells_the_ratios_of_a_step(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- bench:begin -->\n<!-- bench:end -->\nafter\n")
    assert main([str(written(tmp_path / "bench")), str(tmp_path / "page.md"), str(readme)]) == 0
    text = readme.read_text()
    for words in ("| mnist-scale | 8.0x | - | 2.0x | - |", "4.0x in the geometric mean", "CPU: made up"):
        assert words in text, words
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_without_a_step_there_is_nothing_to_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(tmp_path / "bench")
    (source / "step.json").unlink()
    readme = tmp_path / "README.md"
    readme.write_text("<!-- bench:begin -->\n<!-- bench:end -->\n")
    assert main([str(source), str(tmp_path / "page.md"), str(readme)]) == 2
    assert "no measurement of a step" in capsys.readouterr().err
