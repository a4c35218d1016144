"""The independent model, and the comparison of everything published with it. It imports `schemas` only.

`audit(bootstrap)` returns a `Report` or raises `CannotAudit`. `render` makes text for people from it, `to_json` JSON
for programs.
"""

from audit.problems import CannotAudit
from audit.report.report import Difference, PartitionReport, Report, render, to_json
from audit.run import Progress, audit

__all__ = ["CannotAudit", "Difference", "PartitionReport", "Progress", "Report", "audit", "render", "to_json"]
