"""A checkpoint is what was written, bit for bit, or none; what refuses it is named."""

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from hssl.errors import RunFolderError
from hssl.training.checkpoint import CheckedFiles, load_checkpoint, not_finite, save_checkpoint
from hssl.training.engine import train
from small_runs import same, snapshot, tiny

CONTENT = {"epoch": 3, "state_dict": {"weight": torch.arange(600.0)}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "last.ckpt"
    save_checkpoint(CONTENT, file)
    return file


def test_what_was_saved_is_loaded_by_us_by_lightning_and_by_torch(file: Path) -> None:
    for content in (
        load_checkpoint(file),
        CheckedFiles().load_checkpoint(str(file), weights_only=True),
        torch.load(file, weights_only=True),
    ):
        assert same(content, CONTENT)
    assert list(file.parent.iterdir()) == [file]


def test_every_flipped_bit_is_refused(file: Path) -> None:
    whole, chance = file.read_bytes(), random.Random(0)
    # Everywhere, and each byte of the checksum.
    places = [chance.randrange(len(whole)) for _ in range(60)] + list(range(len(whole) - 78, len(whole)))
    taken_by_torch = 0
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << chance.randrange(8)
        file.write_bytes(flipped)
        with pytest.raises(RunFolderError, match="damaged"):
            load_checkpoint(file)
        try:
            torch.load(file, weights_only=True)
            taken_by_torch += 1
        except Exception:
            pass
    # The control: without the checksum there would be something to notice.
    assert taken_by_torch > 0
    file.write_bytes(whole)
    assert same(load_checkpoint(file), CONTENT)


@pytest.mark.parametrize("change", ["nothing", "cut", "longer", "another's checksum", "none"])
def test_every_other_change_is_refused(change: str, file: Path) -> None:
    whole = file.read_bytes()
    other = file.with_name("other.ckpt")
    save_checkpoint(CONTENT | {"epoch": 4}, other)
    changed = {
        "nothing": whole,
        "cut": whole[:-1],
        "longer": whole + b"\n",
        "another's checksum": whole[:-78] + other.read_bytes()[-78:],
        "none": whole[:-78],
    }
    file.write_bytes(changed[change])
    if change == "nothing":
        assert same(load_checkpoint(file), CONTENT)
    else:
        with pytest.raises(RunFolderError, match="damaged"):
            load_checkpoint(file)


LIMITED = """
import resource, sys
from pathlib import Path
import torch
from hssl.training.checkpoint import save_checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    save_checkpoint({"epoch": 0, "state_dict": {"weight": torch.zeros(100_000)}}, Path(sys.argv[1]))
except OSError as error:
    print(error.errno, error.filename)
"""


# In the middle of the weights; of the archive's own last words; of the checksum.
@pytest.mark.parametrize("short_of", [200_000, 100, 1, 0])
def test_a_full_disk_is_named_and_the_old_checkpoint_stays(short_of: int, file: Path) -> None:
    trial = file.with_name("trial.ckpt")
    save_checkpoint({"epoch": 0, "state_dict": {"weight": torch.zeros(100_000)}}, trial)
    size = trial.stat().st_size
    trial.unlink()
    before = snapshot(file.parent)
    # Wherever else there would be room.
    environment = {**os.environ, "TMPDIR": "/dev/shm"}
    words = [sys.executable, "-c", LIMITED, str(file), str(size - short_of)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == (f"{errno.EFBIG} {file}\n" if short_of else "")
    assert (snapshot(file.parent) == before) == (short_of > 0)


def test_nothing_is_written_beside_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder for temporary files that is no folder: whoever wanted to write there would fail."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    train(tiny(trainer__epochs=2), tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["epoch"] == 1


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(RunFolderError, match=r"cannot be read\n  got:      Permission denied"):
        load_checkpoint(file)


def test_what_is_not_finite_is_named() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    module(torch.randn(4, 2)).sum().backward()
    optimizer.step()
    assert not_finite(module, [optimizer]) == []
    with torch.no_grad():
        module[0].bias[1] = float("inf")
        module.get_buffer("1.running_var")[0] = float("nan")
        optimizer.state[module[0].weight]["momentum_buffer"][0, 0] = float("nan")
    assert not_finite(module, [optimizer]) == [
        "0.bias",
        "1.running_var",
        "the optimizer's momentum_buffer of 0.weight",
    ]
