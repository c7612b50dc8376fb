from .lars import LARS as LARS
from .schedule import build_optimizer as build_optimizer
from .schedule import parameter_groups as parameter_groups
from .schedule import warmup_cosine as warmup_cosine
from .schedule import warmup_cosine_schedule as warmup_cosine_schedule
from .settings import OptimizerSettings as OptimizerSettings
from .torch_optimizers import SGD as SGD
from .torch_optimizers import AdamW as AdamW
