"""The doctor: what is right and wrong with a deployment, one line for each check, with the command that mends it.

A family of checks is a module here; a check is a function that is handed the patient and yields findings.
"""

from .examination import CHECKS, FAMILIES, examine
from .keeping import Dot, keep
from .patient import Check, Patient
from .reach import LOOK_HEADER

__all__ = ["CHECKS", "FAMILIES", "LOOK_HEADER", "Check", "Dot", "Patient", "examine", "keep"]
