"""Create the tables that are missing, in the store that the environment names. Safe to repeat."""

import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.config import Config, ConfigError
from app.data import Store
from app.data.client import make_client
from app.data.tables import ALL, create_tables
from app.gateways.files import FileStore
from app.services.seed import first_operator


def main() -> int:
    try:
        config = Config.from_env()
    except ConfigError as error:
        print(f"Configuration: {error}", file=sys.stderr)
        return 1
    client = make_client(config, endpoint_url=config.dynamodb_endpoint_url)
    made = create_tables(client, config.table_prefix)
    if config.s3_endpoint_url and not config.is_production:  # on AWS the bucket is made with its policy: deploy/aws
        FileStore(config.files_bucket, config.aws_region, config.s3_endpoint_url).create_bucket()
    if config.admin_email:
        store = Store(client, config.table_prefix)
        if first_operator(store, config.admin_email, now=datetime.now(UTC)):
            print(f"{config.admin_email} is an operator; the mail sender will send a link to set a password.")
    print(f"{len(ALL)} tables with the prefix {config.table_prefix}, {len(made)} of them new.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
