"""Imports every domain's models, so that Base.metadata is whole (migrations and tests need that)."""

from app.database.base import Base
from app.explanations import models as explanations
from app.participation import models as participation
from app.questions import models as questions
from app.researchers import models as researchers
from app.runs import models as runs
from app.studies import models as studies

__all__ = ["Base", "explanations", "participation", "questions", "researchers", "runs", "studies"]
