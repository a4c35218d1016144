"""The independent model and the comparison of everything published with it; imports `schemas` only.

`audit(bootstrap)` returns a `Report`, or raises `CannotAudit`; `render` shows it to people, `to_json` to programs.
"""

from audit.problems import CannotAudit
from audit.report.report import Difference, PartitionReport, Report, render, to_json
from audit.run import Progress, audit

__all__ = ["CannotAudit", "Difference", "PartitionReport", "Progress", "Report", "audit", "render", "to_json"]
