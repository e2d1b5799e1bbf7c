"""``reptarium doctor``: what is tried (`attempts.py`), how (`examination.py`), what that comes to (`finding.py`)."""

from reptarium.pool.doctor.examination import examine
from reptarium.pool.doctor.finding import Attempt, Examination

__all__ = ["Attempt", "Examination", "examine"]
