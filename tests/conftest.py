"""What every test builds on: a store on an isolated emulator, an app over it, and the books checked afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config as BotoConfig
from jinja2 import FileSystemBytecodeCache

from app import create_app
from app.config import Config, Pack
from app.data import Store
from app.data.client import make_client
from app.data.tables import create_tables
from scripts.local.aws import LocalAws
from tests.faults.proxy import FaultProxy
from tests.log_watch import log_watch  # noqa: F401 - every test's log is read
from tests.support import FakeSender, FakeStripe, assert_books_agree

os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")

PREFIX = "ImpacterAGI_"
COMPILED_TEMPLATES = FileSystemBytecodeCache()  # each test has an app of its own: compile its templates once for all


@pytest.fixture(scope="session")
def dynamodb_url() -> Iterator[str]:
    """An endpoint whose transactions are really isolated: ministack, or what DYNAMODB_ENDPOINT_URL names."""
    if url := os.environ.get("DYNAMODB_ENDPOINT_URL"):
        yield url
        return
    with LocalAws() as aws:
        yield aws.endpoint_url


@pytest.fixture(scope="session")
def config(dynamodb_url: str) -> Config:
    return Config(
        env="development",
        app_url="http://dashboard.test",
        jwt_secrets=("newest-signing-key-of-the-test-suite", "older-signing-key-of-the-test-suite!"),
        stripe_secret_key="sk_test_suite",
        stripe_webhook_secrets=("whsec_newest", "whsec_older"),
        dynamodb_endpoint_url=dynamodb_url,
        s3_endpoint_url=dynamodb_url,
        bcrypt_rounds=4,
        packs=(Pack("pack-1000", 1000, 1000), Pack("pack-5250", 5250, 5000)),
        signups_per_hour=1000,
        require_operator_2fa=False,  # tests/security turns it on; the other tests of operators are about other things
    )


@pytest.fixture(scope="session")
def dynamodb(config: Config):
    return make_client(config, endpoint_url=config.dynamodb_endpoint_url)


@pytest.fixture
def empty_store(dynamodb) -> Store:
    """Fresh tables in the isolated store."""
    wipe(dynamodb)
    create_tables(dynamodb, PREFIX)
    return Store(dynamodb, PREFIX)


@pytest.fixture
def store(empty_store: Store) -> Iterator[Store]:
    """Fresh tables; when the test is over, every balance must still be what its ledger says."""
    yield empty_store
    assert_books_agree(empty_store)


@pytest.fixture
def proxy(dynamodb_url: str) -> Iterator[FaultProxy]:
    """The isolated store behind a proxy that breaks what a test tells it to."""
    proxy = FaultProxy(dynamodb_url)
    yield proxy
    proxy.close()


def wipe(client) -> None:
    for name in client.list_tables()["TableNames"]:
        if name.startswith(PREFIX):
            client.delete_table(TableName=name)


@pytest.fixture
def moto_store() -> Iterator[Store]:
    """For what one thread does. Proves nothing about races: moto's transactions are not isolated."""
    from moto import mock_aws

    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1", config=BotoConfig(parameter_validation=False))
        create_tables(client, PREFIX)
        yield Store(client, PREFIX)


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender()


@pytest.fixture
def stripe() -> FakeStripe:
    return FakeStripe()


@pytest.fixture
def app(config: Config, store: Store, sender: FakeSender, stripe: FakeStripe):
    app = create_app(config, store=store, sender=sender, stripe=stripe)
    app.jinja_env.bytecode_cache = COMPILED_TEMPLATES
    return app


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def second_factor_passed():
    """Lets a signed-in operator's browser change things; the second factor itself has tests of its own."""
    return lambda client, email: client
