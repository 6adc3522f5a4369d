"""Make the tables as the code describes them, in the store that the environment names. Safe to repeat.

With --replace-indexes, an index that differs is dropped and made anew (outside production always): until it is filled,
lists by it fail. What cannot be changed is named, and the command ends with 1.

With --restored it makes nothing: it sets the times to live, which a restore leaves behind, and names each table and
index that is missing. A table that was left out would otherwise be made, empty.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from app.config import Config, ConfigError
from app.data import Store
from app.data.client import make_client
from app.data.migrations import Migrations
from app.data.table_setup import Difference, create_tables, differences, expire
from app.data.tables import ALL
from app.domain.clock import store_time, utcnow
from app.domain.errors import DomainError
from app.gateways.files import FileStore
from app.services.seed import first_operator
from app.web.visitors import adopter


def main() -> int:
    try:
        config = Config.from_env()
    except ConfigError as error:
        print(f"Configuration: {error}", file=sys.stderr)
        return 1
    try:
        return 1 if any(difference.breaks for difference in set_up(config)) else 0
    except (BotoCoreError, ClientError, ResponseParserError, DomainError, KeyError) as error:
        if isinstance(error, KeyError):  # botocore takes an answer that is none for an empty one
            error = ResponseParserError("something else than DynamoDB answers there")
        where = config.dynamodb_endpoint_url or f"AWS in {config.aws_region}"
        print(f"The tables could not be made at {where}: {error}", file=sys.stderr)
        print("Look at DYNAMODB_ENDPOINT_URL, AWS_REGION and the credentials; then try again.", file=sys.stderr)
        return 1


def set_up(config: Config) -> list[Difference]:
    """Tables, bucket and first operator, each with a line of progress: on a busy machine it takes its time.

    Returns what still differs from the code; each is printed with what there is to do.
    """
    store_time.tolerance = timedelta(seconds=config.clock_tolerance_seconds)
    client = make_client(config, endpoint_url=config.dynamodb_endpoint_url, patient=True)
    if "--restored" in sys.argv[1:]:
        return after_restore(config, client)
    replace = "--replace-indexes" in sys.argv[1:] or not config.is_production
    made = create_tables(client, config.table_prefix, say=lambda line: print(line, flush=True), replace=replace)
    if config.s3_endpoint_url and not config.is_production:  # on AWS the bucket is made with its policy: deploy/aws
        FileStore(config.files_bucket, config.aws_region, config.s3_endpoint_url).create_bucket()
    if config.admin_email:
        store = Store(client, config.table_prefix, adopter())
        if first_operator(store, config.admin_email, now=utcnow()):
            print(f"{config.admin_email} is an operator; the mail sender will send a link to set a password.")
    migrate(config, Migrations(client, config.table_prefix), new=len(made) == len(ALL))
    print(f"{len(ALL)} tables with the prefix {config.table_prefix}, {len(made)} of them new.")
    left = differences(client, config.table_prefix, ttl=True)
    for difference in left:
        print(f"Still to do: {difference}.", file=sys.stderr)
    return left


def after_restore(config: Config, client: Any) -> list[Difference]:
    """Times to live alone. Returns what is missing or differs."""
    expire(client, config.table_prefix, say=lambda line: print(line, flush=True))
    left = differences(client, config.table_prefix, ttl=True)
    for difference in left:
        print(f"Not as it must be: {difference.what}.", file=sys.stderr)
    if not left:
        print(f"All {len(ALL)} tables with the prefix {config.table_prefix} are there. Now: flask restore check.")
    return left


def migrate(config: Config, migrations: Migrations, *, new: bool) -> None:
    """Rows of an earlier version: on a laptop at once; in production when the release before has ended."""
    if new:
        migrations.note_new(utcnow())
    for migration in migrations.pending():
        if config.is_production:
            print(f"Still to do: {migration}; flask tables migrate.", file=sys.stderr)
        else:
            done = migrations.run(migration, utcnow(), say=lambda line: print(line, flush=True))
            print(f"{migration}: {done.changed} rows changed.")


if __name__ == "__main__":
    sys.exit(main())
