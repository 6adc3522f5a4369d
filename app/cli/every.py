"""Every group of commands, in the order that the help lists them by."""

from app.cli import accounts, backup, books, codes, demo, doctor, keys, mail, migrations, operators, restore, tasks
from app.cli.groups import Group

GROUPS = (
    *(tasks.group, mail.group, accounts.group, books.group, codes.group, operators.group, demo.group, keys.group),
    *(migrations.group, backup.group, restore.group),
)
OLD_NAMES = {"users": accounts.group, "admin": operators.group}  # what runbooks may still say
COMMANDS = (
    *GROUPS,
    *(Group(name, hidden=True, commands=group.commands) for name, group in OLD_NAMES.items()),
    doctor.command,
)
