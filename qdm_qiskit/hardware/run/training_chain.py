"""Training of a run's model by its counts, from the files of its plan to a trained run's files.

Nothing here depends on anything but the plan and the counts, so a run that is taken up again, or
replayed, ends with the same weights.
"""

from __future__ import annotations

import copy
import hashlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ...errors import InvalidPlan
from ...execution.calls import CallResult
from ...files import parse_json
from ..ledger.trained_files import SCHEMA, TRAINED, TRAINING, StoredTraining
from ..plan.planned_files import checked_bytes, load_planned_run
from ..plan.run_plan import MODEL, RunPlan
from ..plan.training_batches import read_batches

if TYPE_CHECKING:
    from ...execution.calls import CallTarget
    from ...training.by_calls import Batch
    from .call_chain import PlannedTarget

__all__ = ["MOST_EXACT_QUBITS", "TrainingChain"]

MOST_EXACT_QUBITS = 16
"""Most qubits of a circuit of a model whose loss is computed exactly too."""


@final
class TrainingChain:
    """The steps of a plan's optimizer, with the model.

    Args:
        plan: The plan; its files are checked.

    Raises:
        InvalidPlan: If a file of it is missing or was changed.
    """

    def __init__(self, plan: RunPlan) -> None:
        from ...training.by_calls import CallTraining

        assert plan.training is not None
        assert plan.calls is not None
        self.plan, self._wanted = plan, plan.training
        self._batches = read_batches(plan)
        self._run = load_planned_run(plan)
        self._start = copy.deepcopy(self._run.model)
        self._training = CallTraining(
            self._run.model,
            self._run.process,
            plan.training.weights,
            optimizer="spsa" if plan.training.optimizer == "spsa" else "adam",
            learning_rate=plan.training.learning_rate,
            perturbation=plan.training.perturbation,
            seed=plan.seed,
            shots=plan.calls.jobs[0].shots,
        )
        self._done = 0

    @property
    def left(self) -> int:
        """Number of steps that send jobs and are left."""
        return len(self.plan.steps) - self._done

    @property
    def losses(self) -> tuple[float, ...]:
        """Loss of each step of the optimizer so far."""
        return tuple(self._training.losses)

    def walk(self, target: PlannedTarget) -> None:
        """Take the next step, from the counts that a target gives.

        Raises:
            Unanswered: As the target; the chain must not be used then.
            InvalidPlan, InvalidData: If calls are not those of the run, or the loss is no number.
        """
        target.begin(self.plan.steps[self._done].step)
        batch = self._batches[self._done]
        if self._wanted.optimizer == "ridge":
            self._fit_head(batch, target)
        elif self._wanted.once:
            self._training.steps_on(batch, target, self._wanted.steps)
        else:
            self._training.step(batch, target)
        self._done += 1

    def weights(self) -> dict[str, np.ndarray]:
        """Return the trained parameters, by their names."""
        from ...layers.arrays import to_array

        named = dict(self._run.model.named_parameters())
        return {name: to_array(named[name].detach()) for name in self._wanted.weights}

    def files(self) -> dict[str, bytes]:
        """Return the trained run, by path in the hardware run's folder: weights and losses.

        Its checkpoint is the plan's one with as many steps more.

        Raises:
            InvalidPlan: If the state of the plan's training cannot be used.
        """
        from ...models import save_model

        found: dict[str, bytes] = {}
        for each in self.plan.files:
            if not each.path.startswith(f"{MODEL}/"):
                continue
            path = self._moved(each.path)
            content = checked_bytes(self.plan, each.path)
            if path.endswith("state.json"):
                content = self._later(each.path, content)
            found[path] = content
        with tempfile.TemporaryDirectory() as folder:
            save_model(self._run.model, Path(folder))
            weights = (Path(folder) / "model.safetensors").read_bytes()
        [place] = [path for path in found if path.endswith("model.safetensors")]
        found[place] = weights
        found[TRAINING] = _json({"schema": SCHEMA, **self._about(), **asdict(self.record(weights))})
        return found

    def record(self, weights: bytes) -> StoredTraining:
        """Return what is told of the training."""
        from ...training.by_calls import exact_loss

        before = after = None
        if self._run.model.num_qubits <= MOST_EXACT_QUBITS:
            process = self._run.process
            before = exact_loss(self._start.eval(), process, self._batches)
            after = exact_loss(self._run.model.eval(), process, self._batches)
        return StoredTraining(
            losses=self.losses,
            exact_before=before,
            exact_after=after,
            weights_sha256=hashlib.sha256(weights).hexdigest(),
        )

    def _about(self) -> dict[str, Any]:
        return {
            "run": self.plan.run_id,
            "plan_sha256": self.plan.content_sha256,
            "target": self.plan.target,
            "backend": self.plan.backend,
            "training": asdict(self._wanted),
        }

    def _moved(self, path: str) -> str:
        """Return the place of a file of the model in the trained run."""
        parts = path.split("/")
        for number, part in enumerate(parts):
            if part.startswith("step-"):
                parts[number] = f"step-{int(part[5:]) + self._wanted.steps:08d}"
        return "/".join([TRAINED, *parts[1:]])

    def _later(self, path: str, content: bytes) -> bytes:
        """Return the state of the plan's training, with the steps of this one added."""
        try:
            state = parse_json(content)
            step = state.get("step", 0) if isinstance(state, dict) else None
            if type(step) is not int or step < 0:
                raise ValueError("it has no number of steps")
            return _json({**state, "step": step + self._wanted.steps})
        except (ValueError, UnicodeError) as error:
            reason = " ".join(str(error).split())
            raise InvalidPlan(
                f"{self.plan.folder / path} cannot be used ({reason}); plan again."
            ) from error

    def _fit_head(self, batch: Batch, target: CallTarget) -> None:
        """Fit the linear tail to the targets of training, as a refit does."""
        import torch

        from ...sampling.refit import RefitPairs, refitted

        model: Any = self._run.model
        features: list[np.ndarray] = []

        def listen(head: Any, given: tuple[torch.Tensor, ...]) -> None:
            features.append(given[0].detach().double().numpy())

        hook = model.head.register_forward_pre_hook(listen)
        try:
            self._training.losses.append(self._training.evaluate(batch, target))
        finally:
            hook.remove()
        steps = batch.step / self._run.process.num_steps
        pairs = RefitPairs(batch.x, steps, batch.labels, batch.target, self.plan.seed)
        fitted, _ = refitted(self._run, pairs, [CallResult(outputs=features[0])], goal="data")
        model.load_state_dict(fitted.model.state_dict())


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
