"""How Alembic reaches the database: through the app that is current, in one transaction."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from mlpipe import db
from mlpipe.drift import tables as _drift  # noqa: F401  tables register themselves on import
from mlpipe.features import tables as _features  # noqa: F401
from mlpipe.incidents import tables as _incidents  # noqa: F401
from mlpipe.jobs import tables as _jobs  # noqa: F401
from mlpipe.learning import tables as _learning  # noqa: F401
from mlpipe.mlflow import tables as _mlflow  # noqa: F401
from mlpipe.prediction import tables as _prediction  # noqa: F401
from mlpipe.registry import tables as _registry  # noqa: F401
from mlpipe.retraining import tables as _retraining  # noqa: F401


def run_online() -> None:
    with db.database.engine.connect() as connection:
        writing = connection.execution_options(writes=True)
        context.configure(
            connection=writing,
            target_metadata=db.metadata,
            render_as_batch=True,
            transactional_ddl=True,
            compare_type=True,
        )
        with writing.begin(), context.begin_transaction():
            context.run_migrations()


def run_offline() -> None:
    url = sa.make_url(db.database.engine.url)
    context.configure(url=url, target_metadata=db.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
