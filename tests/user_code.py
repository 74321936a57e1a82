"""Code of somebody who installed the package; type checkers read it, and nobody runs it."""

from pathlib import Path
from typing import assert_type

import numpy as np
import torch

import qdm_qiskit as qdm
from qdm_qiskit.evaluation import AccumulatedMetric, Interval, MeasureSamples
from qdm_qiskit.overview import find_runs
from qdm_qiskit.reports.evaluation_render import write_evaluation
from qdm_qiskit.sampling import DDIM, QDMPipeline, TrainedRun
from qdm_qiskit.training import BestCheckpoint, Callback, EarlyStopping, Epoch, TrainingResult


class Printer(Callback):
    def after_epoch(self, after: Epoch) -> None:
        print(after.number, after.samples(4).mean())


callbacks: list[Callback] = [Printer(), MeasureSamples(["psnr"]), BestCheckpoint("psnr")]
result = qdm.train("digits-demo", "runs/mine", callbacks=[*callbacks, EarlyStopping(patience=3)])
assert_type(result, TrainingResult)
assert_type(result.best, Path | None)

run = qdm.load_run("runs/mine")  # text and Path serve alike
assert_type(run, TrainedRun)
evaluation = qdm.evaluate(run, data="mine.npz")
write_evaluation(evaluation.report, evaluation.pictures, "runs/mine/evaluation")
assert_type(find_runs("runs").rows[0].name, str)

pipeline = QDMPipeline.from_pretrained(result.run).to("cpu")
pipeline.scheduler = DDIM(eta=0.5)
assert_type(pipeline(num_images=2).images, np.ndarray)
assert_type(pipeline(num_images=2, output_type="pt").images, torch.Tensor)
pipeline(num_images=2, output_type="pil").images[0].save("first.png")

metric = AccumulatedMetric("psnr")
metric.update(np.zeros((2, 1, 8, 8)), real=True)
assert_type(metric.interval(), Interval)

# Mistakes that a type checker must find: it reports an ignore that silences nothing.
budget: str = qdm.trian("eeqdm", "runs/typo")  # type: ignore[attr-defined]
qdm.train(3, "runs/wrong")  # type: ignore[arg-type]
qdm.load_run(3)  # type: ignore[arg-type]
