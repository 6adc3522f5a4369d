"""Create the tables that are missing, in the store that the environment names. Safe to repeat."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.config import Config, ConfigError  # noqa: E402
from app.data.client import make_client  # noqa: E402
from app.data.tables import ALL, create_tables  # noqa: E402


def main() -> int:
    try:
        config = Config.from_env()
    except ConfigError as error:
        print(f"Configuration: {error}", file=sys.stderr)
        return 1
    client = make_client(config, endpoint_url=config.dynamodb_endpoint_url)
    made = create_tables(client, config.table_prefix)
    print(f"{len(ALL)} tables with the prefix {config.table_prefix}, {len(made)} of them new.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
