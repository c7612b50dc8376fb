from .fiber_views import FiberViews as FiberViews
from .hybrid_views import HybridViews as HybridViews
from .input_views import InputViews as InputViews
from .settings import ViewsSettings as ViewsSettings
from .views import Bundles as Bundles
from .views import Encode as Encode
from .views import Pairs as Pairs
from .views import Views as Views
