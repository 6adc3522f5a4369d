"""One object for each screen: where things are, so that the journeys say what a person does.

To look at all of the product there is world.py; what each page is held to is in eyes.py.
"""

from e2e.pages.account import AccountPage, ApiKeys, SecondFactor, Webhooks
from e2e.pages.checkout import Checkout
from e2e.pages.credits import Credits, CreditsReturn, GuestReturn
from e2e.pages.dashboard import Dashboard
from e2e.pages.entrance import About, Confirm, Forgot, FrontPage, NewAddress, SecondStep, SetPassword, SignIn, SignUp
from e2e.pages.finance import Codes, Finance, ParkedPayment, Sale
from e2e.pages.lists import AuditLog, Statement, Transactions
from e2e.pages.operators import Customer, Customers, Mails, OperatorTask, Overview, Proposals, Queue, SendAgain
from e2e.pages.screen import Screen, every_screen
from e2e.pages.tasks import Batch, TaskPage, Unsent

__all__ = [
    "About",
    "AccountPage",
    "ApiKeys",
    "AuditLog",
    "Batch",
    "Checkout",
    "Codes",
    "Confirm",
    "Credits",
    "CreditsReturn",
    "Customer",
    "Customers",
    "Dashboard",
    "Finance",
    "Forgot",
    "FrontPage",
    "GuestReturn",
    "Mails",
    "NewAddress",
    "OperatorTask",
    "Overview",
    "ParkedPayment",
    "Proposals",
    "Queue",
    "Sale",
    "Screen",
    "SecondFactor",
    "SecondStep",
    "SendAgain",
    "SetPassword",
    "SignIn",
    "SignUp",
    "Statement",
    "TaskPage",
    "Transactions",
    "Unsent",
    "Webhooks",
    "every_screen",
]
