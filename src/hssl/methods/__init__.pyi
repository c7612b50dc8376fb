from .contrastive import Contrastive as Contrastive
from .frozen import Frozen as Frozen
from .method import Method as Method
from .method import Step as Step
from .settings import MethodSettings as MethodSettings
from .supervised import Supervised as Supervised
