"""The command line: `flask --app app.wsgi …`, one file for each group of commands."""

from flask import Flask

from app.cli import accounts, backup, books, codes, demo, doctor, keys, mail, migrations, operators, restore, tasks
from app.cli.groups import Group

GROUPS = (
    *(tasks.group, mail.group, accounts.group, books.group, codes.group, operators.group, demo.group, keys.group),
    *(migrations.group, backup.group, restore.group),
)
OLD_NAMES = {"users": accounts.group, "admin": operators.group}  # what runbooks may still say


def register(app: Flask) -> None:
    for group in GROUPS:
        app.cli.add_command(group)
    for name, group in OLD_NAMES.items():
        app.cli.add_command(Group(name, hidden=True, commands=group.commands))
    app.cli.add_command(doctor.command)
