"""Code of somebody who installed the package; type checkers read it, and nobody runs it."""

from pathlib import Path
from typing import assert_type

import numpy as np
import torch

import qdm_qiskit as qdm
from qdm_qiskit.evaluation import AccumulatedMetric, Interval, MeasureSamples
from qdm_qiskit.sampling import DDIM, QDMPipeline
from qdm_qiskit.training import BestCheckpoint, Callback, EarlyStopping, Epoch, TrainingResult


class Printer(Callback):
    def after_epoch(self, after: Epoch) -> None:
        print(after.number, after.samples(4).mean())


callbacks: list[Callback] = [Printer(), MeasureSamples(["psnr"]), BestCheckpoint("psnr")]
result = qdm.train("digits-demo", "runs/mine", callbacks=[*callbacks, EarlyStopping(patience=3)])
assert_type(result, TrainingResult)
assert_type(result.best, Path | None)

pipeline = QDMPipeline.from_pretrained(result.run).to("cpu")
pipeline.scheduler = DDIM(eta=0.5)
assert_type(pipeline(num_images=2).images, np.ndarray)
assert_type(pipeline(num_images=2, output_type="pt").images, torch.Tensor)
pipeline(num_images=2, output_type="pil").images[0].save("first.png")

metric = AccumulatedMetric("psnr")
metric.update(np.zeros((2, 1, 8, 8)), real=True)
assert_type(metric.interval(), Interval)

budget: str = qdm.trian("eeqdm", "runs/typo")  # type: ignore[attr-defined]
qdm.train(3, "runs/wrong")  # type: ignore[arg-type]
