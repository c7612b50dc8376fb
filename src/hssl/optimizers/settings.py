"""What can be chosen of each optimizer, with linear warm-up and cosine decay (appendix B). Imports no torch."""

from pydantic import Field

from hssl.settings import PartSettings


class OptimizerSettings(PartSettings):
    """What every optimizer is asked; the fields that a subclass adds are its keyword arguments."""

    learning_rate: float = Field(default=0.1, gt=0, description="the peak, reached at the end of the warm-up")
    norm_learning_rate: float | None = Field(
        default=None, gt=0, description="the peak for biases and norms; none: learning_rate"
    )
    weight_decay: float = Field(default=1e-4, ge=0, description="not applied to biases and norms")
    warmup_epochs: float = Field(default=10, ge=0, description="epochs of linear warm-up")


class LARSSettings(OptimizerSettings):
    """The paper's, for thousands of steps."""

    name: str = "lars"
    momentum: float = Field(default=0.9, ge=0, lt=1, description="share of the last step kept in the next")
    trust_coefficient: float = Field(
        default=1e-3, gt=0, description="share of a layer's norm that a step of rate 1 moves it"
    )


class SGDSettings(OptimizerSettings):
    """Gradient descent with momentum."""

    name: str = "sgd"
    momentum: float = Field(default=0.9, ge=0, lt=1, description="share of the last step kept in the next")


class AdamWSettings(OptimizerSettings):
    """Learns in hundreds of steps; its weight decay is decoupled from the gradient."""

    name: str = "adamw"
    beta_1: float = Field(default=0.9, ge=0, lt=1, description="decay of the mean of gradients")
    beta_2: float = Field(default=0.999, ge=0, lt=1, description="decay of the mean of squared gradients")
