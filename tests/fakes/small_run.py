"""The configuration of a run of seconds."""

from hssl.config import Config, override
from hssl.paper.recipes import recipe


def configuration(**changes: object) -> Config:
    small = {"trainer.epochs": 1, "data.train_images": 64, "data.test_images": 32, "trainer.batch_size": 32}
    return override(recipe("digits-rotation-hssl", "smoke"), {**small, **changes})
