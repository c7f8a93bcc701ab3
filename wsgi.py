"""What gunicorn serves: ``gunicorn wsgi:app``."""

from __future__ import annotations

import config
from mlpipe.app import serve

app = serve(config.load())
