"""The operators' pages: the queue, a task, customers, proposals, mails, the audit log, the overview and the system."""

from app.routes.admin import customers, overview, queue, records, system, tasks
from app.routes.admin.blueprint import bp

__all__ = ["bp", "customers", "overview", "queue", "records", "system", "tasks"]
