"""The command line: `flask --app app.wsgi …`, one file for each group of commands."""

from flask import Flask

from app.cli import accounts, admin, books, codes, demo, doctor, mail, tasks, users

GROUPS = (tasks.group, users.group, mail.group, accounts.group, books.group, codes.group, admin.group, demo.group)


def register(app: Flask) -> None:
    for group in GROUPS:
        app.cli.add_command(group)
    app.cli.add_command(doctor.command)
