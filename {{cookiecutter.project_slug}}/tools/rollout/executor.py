"""Carries out a plan, step by step; what stands in its way is told, with the way on and back."""

from collections.abc import Callable

from .cluster import Cluster
from .kubectl import Kubectl, KubectlError
from .plan import Condition, Plan, Step

PAUSE = 2.0
Sleep = Callable[[float], None]


class Failed(Exception):
    """A step was not done; what served before it serves on."""


class Executor:
    def __init__(self, kubectl: Kubectl, clock: Callable[[], float], sleep: Sleep) -> None:
        self._kubectl, self._clock, self._sleep = kubectl, clock, sleep

    def run(self, plan: Plan) -> None:
        print(plan.title)
        for number, step in enumerate(plan.steps, 1):
            print(f"{number}/{len(plan.steps)} {step.name}: {step.does}")
            try:
                self._do(step)
            except (KubectlError, Failed) as why:
                back = f"\ngo back:  {plan.back}" if plan.back else ""
                text = f"{step.name} failed: {why}\ngo on:    {plan.again}{back}"
                raise Failed(text) from None

    def _do(self, step: Step) -> None:
        if step.needs and not step.needs.holds(self._kubectl.look(step.needs.of)):
            raise Failed(f"not done, for it is only done if {step.needs.says}")
        if step.arguments:
            self._kubectl(*step.arguments, stdin=step.stdin)
        if step.until:
            self._wait(step, step.until)

    def _wait(self, step: Step, until: Condition) -> None:
        """For as long as it takes, as it can come about, and as there is time."""
        began, since, why = self._clock(), None, f"not yet: {until.says}"
        while (now := self._clock()) - began <= step.seconds:
            try:
                seen = self._kubectl.look(until.of)
            except KubectlError as error:
                seen, why = Cluster(), str(error)
            else:
                if refused := until.never(seen):
                    raise Failed(refused + self._log(until))
                since = (since if since is not None else now) if until.holds(seen) else None
                if since is not None and now - since >= step.hold:
                    return
            self._sleep(PAUSE)
        raise Failed(f"{why}, after {step.seconds} s")

    def _log(self, until: Condition) -> str:
        """The last words of a Job."""
        if not until.of[0].startswith("job/"):
            return ""
        try:
            lines = self._kubectl("logs", until.of[0], "--tail=5").splitlines()
        except KubectlError:
            return ""
        return "".join(f"\n  | {line}" for line in lines)
