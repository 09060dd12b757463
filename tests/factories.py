"""Makes launched studies directly in the database, for tests of what comes after the launch."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.explanations.models import Explanation, ExplanationSet
from app.questions.models import Question
from app.studies.models import Condition, Construct, Stimulus, Study
from app.studies.schemas import StudyDefinition

# Named like the demo's, so that a test can look for them in what participants get.
CONDITIONS = [
    "multitask_counterfactual/critique_revision",
    "multitask_counterfactual/few_shot",
    "counterfactual/few_shot",
    "multitask/few_shot",
    "standard/few_shot",
    "standard/critique_revision",
]
MODEL = "smollm2-135m-instruct"
CONSTRUCTS = {
    "plausibility": "The explanation is plausible, logically valid, sound, consistent and coherent.",
    "understandability": "I understood the explanation within the context of the question.",
    "satisfaction": "The explanation of how the answer was justified is satisfying.",
    "completeness": "The explanation included all relevant factors with sufficient precision and granularity.",
    "contrastiveness": "The explanation explains why a specific answer is picked instead of the other choices.",
}


def study_definition(
    *, slug: str = "demo", conditions: int = 4, trials_per_condition: int = 3, constructs: int = 5, **changes: Any
) -> StudyDefinition:
    """A complete definition; `changes` replaces whole top-level fields (e.g. practice=None)."""
    fields: dict[str, Any] = {
        "slug": slug,
        "title": "How good are these explanations?",
        "seed": 7,
        "design": {"trials_per_condition": trials_per_condition},
        "conditions": [{"name": name, "method": name} for name in CONDITIONS[:conditions]],
        "constructs": [
            {"key": key, "name": key.capitalize(), "statement": text}
            for key, text in list(CONSTRUCTS.items())[:constructs]
        ],
        "texts": {
            "introduction": "You will read short explanations and say what you think of them.",
            "consent": "Taking part is voluntary.\n\n- It takes about ten minutes.\n- You may stop at any time.",
            "consent_statement": "I have read this and agree to take part.",
            "instructions": "Read the question, the answer and the explanation. Then rate the explanation.",
            "debrief": "We study which ways of training lead to explanations that people find good.",
            "contact": "Questions? Write to study@example.org.",
        },
        "comprehension": [
            {
                "question": "What do you rate?",
                "choices": ["The explanation", "The question", "The person who asks"],
                "answer": "The explanation",
                "hint": "The statements are about the explanation that you read.",
            }
        ],
        "practice": {
            "question": "Where do you put milk to keep it cold?",
            "choices": ["oven", "refrigerator", "drawer"],
            "predicted": "refrigerator",
            "explanation": "Milk spoils when it is warm, and a refrigerator keeps food cold.",
        },
        "background": [
            {"key": "age", "label": "How old are you?", "kind": "number", "minimum": 18, "maximum": 110},
            {"key": "gender", "label": "Your gender", "kind": "choice", "choices": ["Woman", "Man", "Another"]},
            {"key": "remarks", "label": "Anything to add?", "kind": "text", "required": False},
        ],
        "completion": {"code": "DONE-1234", "return_url": "https://panel.example/submit?cc={code}"},
    }
    return StudyDefinition.model_validate(fields | changes)


async def make_study(
    session: AsyncSession,
    *,
    questions: int = 24,
    conditions: int = 4,
    trials_per_condition: int = 3,
    state: str = "live",
    slug: str = "demo",
    missing: frozenset[tuple[int, int]] = frozenset(),
    **definition: Any,
) -> Study:
    """A launched study: every condition has an explanation for each of `questions` questions, save `missing` (condition, question).

    Rows are committed. Choices, answers and texts name neither a condition nor a model.
    """
    defined = study_definition(
        slug=slug, conditions=conditions, trials_per_condition=trials_per_condition, **definition
    )
    study = Study(
        slug=slug,
        title=defined.title,
        state=state,
        definition=defined.model_dump(mode="json"),
        definition_sha256="0" * 64,
        seed=defined.seed,
        launched_at=None if state == "draft" else datetime.now(UTC),
        closed_at=datetime.now(UTC) if state == "closed" else None,
    )
    study.conditions = [Condition(code="ABCDEFGHIJKL"[i], name=c.name) for i, c in enumerate(defined.conditions)]
    study.constructs = [
        Construct(
            key=c.key, name=c.name, statement=c.statement, labels=list(c.labels), minimum=c.minimum, position=i + 1
        )
        for i, c in enumerate(defined.constructs)
    ]
    session.add(study)
    origin = ExplanationSet(name=f"set-{uuid.uuid4().hex[:8]}", source="import", provenance={"file": "made for a test"})
    session.add(origin)
    items = [
        Question(
            dataset=f"questions-{slug}",
            key=f"q{i:03}",
            text=f"Question number {i + 1}: where would you look for a thing of kind {i + 1}?",
            choices=[f"place {i + 1}.{j}" for j in range(1, 6)],
            answer=f"place {i + 1}.{i % 5 + 1}",
        )
        for i in range(questions)
    ]
    session.add_all(items)
    await session.flush()
    stimuli = []
    for c, condition in enumerate(study.conditions):
        for q, question in enumerate(items):
            if (c, q) in missing:
                continue
            objective, _, generation = condition.name.partition("/")
            explanation = Explanation(
                set_id=origin.id,
                question_id=question.id,
                method=condition.name,
                objective=objective,
                generation_method=generation,
                model=MODEL,
                seed=0,
                predicted=question.answer,
                correct=True,
                text=f"People keep such things where they are used. Text {uuid.uuid4().hex}.",
            )
            stimuli.append(Stimulus(study_id=study.id, condition_id=condition.id, explanation=explanation))
    session.add_all(stimuli)
    await session.commit()
    return study
