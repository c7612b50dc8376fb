"""Where positive pairs come from: transformed images, moved base spaces, or both."""

from hssl.views.fiber_views import FiberViews
from hssl.views.hybrid_views import HybridViews
from hssl.views.input_views import InputViews
from hssl.views.pairs import Encode, Pairs, Views

__all__ = ["Encode", "FiberViews", "HybridViews", "InputViews", "Pairs", "Views"]
