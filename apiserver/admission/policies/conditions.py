"""Match conditions: expressions that all have to be true for a webhook or policy to be concerned."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.admission.policies.evaluation import CONDITIONS_BUDGET, Evaluation, OutOfBudget
from apiserver.validation.expressions import Expression


class ConditionsFailed(Exception):
    """Whether the conditions hold cannot be told."""


async def hold(conditions: Sequence[Expression], evaluation: Evaluation, *, ignore_failures: bool) -> bool:
    """Whether all are true. A false one decides, whatever the others do; else ConditionsFailed, or False where failures are
    to be ignored."""
    if not conditions:
        return True
    try:
        results, _ = await evaluation.run(conditions, CONDITIONS_BUDGET)
    except OutOfBudget as error:
        if ignore_failures:
            return False
        raise ConditionsFailed(str(error)) from None
    if any(not result.error and result.value is False for result in results):
        return False
    problems = list(dict.fromkeys(result.error for result in results if result.error))
    if not problems:
        return True
    if ignore_failures:
        return False
    raise ConditionsFailed(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
