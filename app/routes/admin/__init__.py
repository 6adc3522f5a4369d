"""The operators' pages: the queue, a task, customers, proposals, mails, the audit log and the overview."""

from app.routes.admin import customers, overview, queue, records, tasks
from app.routes.admin.blueprint import bp

__all__ = ["bp", "customers", "overview", "queue", "records", "tasks"]
