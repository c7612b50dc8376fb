"""Options of a cluster are read as SLURM writes them, and refused where they cannot be."""

import pytest

from hssl.config import override
from hssl.errors import ConfigurationError
from hssl.paper.recipes import recipe
from hssl.runs.slurm_options import OPTIONS, Resources, resources

CONFIG = recipe("mnist-scale-hssl")


def test_every_option_is_a_field() -> None:
    assert set(OPTIONS) == set(Resources.__dataclass_fields__)
    assert resources({}, [CONFIG]) == Resources()
    words = {"partition": "big", "gpus": "2", "cpus": "8", "memory": "1.5G", "requeues": "0", "setup": "module load x"}
    assert resources(words, [CONFIG]) == Resources(
        partition="big", gpus=2, cpus=8, memory=1.5, requeues=0, setup="module load x"
    )


@pytest.mark.parametrize(
    ("word", "minutes"),
    [("90", 90), ("90:00", 90), ("90:01", 91), ("4:00:00", 240), ("12:30:00", 750), ("1-0", 1440), ("2-1:30", 2970),
     ("1-2:3:4", 1440 + 120 + 4)],
)  # fmt: skip
def test_time_is_read_as_slurm_writes_it(word: str, minutes: int) -> None:
    assert resources({"time": word}, [CONFIG]).time == minutes


@pytest.mark.parametrize(
    ("name", "word"),
    [("time", "soon"), ("time", "0"), ("time", "1:2:3:4"), ("time", "-5"), ("memory", "32T"), ("memory", "0"),
     ("gpus", "one"), ("gpus", "-1"), ("cpus", "0"), ("requeues", "1.5")],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(name: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"--slurm\.{name} cannot be read"):
        resources({name: word}, [CONFIG])


def test_an_option_that_there_is_not_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'memory'"):
        resources({"memry": "3"}, [CONFIG])


def test_a_run_gets_a_gpu_unless_it_is_for_cpus() -> None:
    for_cpus = override(CONFIG, {"trainer.accelerator": "cpu"})
    assert resources({}, [CONFIG, for_cpus]).gpus == 1
    assert resources({}, [for_cpus]).gpus == 0
    assert resources({"gpus": "2"}, [for_cpus]).gpus == 2
