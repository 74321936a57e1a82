"""``qdm sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .imports import few_collections

__all__ = [
    "sample",
]


def sample(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run, or of a checkpoint.")],
    out: Annotated[Path, typer.Option(help="Folder for the images.")],
    target: Annotated[
        str,
        typer.Option(help="engine, engine:cuda, aer, noisy:SNAPSHOT or local:SNAPSHOT."),
    ] = "engine",
    num_images: Annotated[int, typer.Option(help="Images to sample.")] = 16,
    shots: Annotated[
        int | None, typer.Option(help="Shots for each image and step; none is exact (engine only).")
    ] = None,
    mitigation: Annotated[str, typer.Option(help="Readout mitigation: none or m3.")] = "none",
    calibration: Annotated[
        Path | None, typer.Option(help="A calibration.json to use again instead of a new one.")
    ] = None,
    readout: Annotated[
        str,
        typer.Option(
            help="Readout errors of a snapshot: mean, one a qubit as in Aer, or asymmetric."
        ),
    ] = "mean",
    simulator: Annotated[
        str,
        typer.Option(
            help="Of noisy targets: auto is the engine wherever it can, engine, or aer to cross-check."
        ),
    ] = "auto",
    noise: Annotated[
        str,
        typer.Option(
            help="Noise of noisy targets: all, or that of gates or readout alone, or none."
        ),
    ] = "all",
    calibration_shots: Annotated[
        int, typer.Option(help="Shots of each calibration circuit.")
    ] = 8192,
    layout_trials: Annotated[int, typer.Option(help="Transpiler seeds tried on a device.")] = 5,
    layout: Annotated[
        str | None,
        typer.Option(help="Physical qubits, as in 3,4,5,6,7,8; the transpiler chooses if none."),
    ] = None,
    fractional_gates: Annotated[
        bool,
        typer.Option("--fractional-gates", help="Use rzz for free angles, folded into its range."),
    ] = False,
    label: Annotated[
        int | None, typer.Option(help="Class of all images; guided models only.")
    ] = None,
    scheduler: Annotated[
        str,
        typer.Option(
            "--sampler",
            "--scheduler",
            help="process; of noise models ddpm, ddim, analytic, dpm-solver++, sde, ode; or another's.",
        ),
    ] = "process",
    steps: Annotated[int | None, typer.Option(help="Steps of the sampler; all by default.")] = None,
    eta: Annotated[float, typer.Option(help="Share of DDPM's noise that ddim adds, 0 to 1.")] = 0.0,
    loader: Annotated[
        str | None,
        typer.Option(help="What loads images where circuits run; the model's own if not given."),
    ] = None,
    start: Annotated[
        str,
        typer.Option(help="x_T: noise of the process, or of the loader's own circuit: loader."),
    ] = "process",
    noise_source: Annotated[
        str | None,
        typer.Option(
            help="Bits of x_T and of the noise of steps: hadamard[:DEVICE], haar[:QUBITS], "
            "walk[:STEPS[,DECOHERENCE]], measured:PATH; the seed's generator if not given."
        ),
    ] = None,
    chain: Annotated[
        str,
        typer.Option(
            help="Models of states: coherent, all steps in one circuit; steps, with tomography "
            "between; auto, the first where it can be and keeps a shot of each image."
        ),
    ] = "auto",
    tiles: Annotated[
        str | None,
        typer.Option(
            help="Places of the device that run the circuit at once, images spread over them: a "
            "number, auto, or the least expected success of each, '>=0.7'."
        ),
    ] = None,
    tile_buffer: Annotated[
        bool, typer.Option("--tile-buffer", help="Leave a qubit between tiles.")
    ] = False,
    primitive: Annotated[
        str,
        typer.Option(help="sampler, or estimator for models that read expectation values."),
    ] = "sampler",
    primitive_options: Annotated[
        str, typer.Option(help="The estimator's options as JSON, nested as it has them.")
    ] = "{}",
    seed: Annotated[int, typer.Option(help="Seed of every random stream.")] = 0,
    workers: Annotated[
        int | None,
        typer.Option(help="Sample in blocks of images, on so many processes of this machine."),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            help="The same on a scheduler of Dask, as tcp://10.0.0.1:8786, whose workers see the same "
            "folders; or local, a cluster of Dask's on this machine."
        ),
    ] = None,
    block: Annotated[
        int | None,
        typer.Option(help="Images of a block, 256 if none; the images depend on it."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Sample images from a trained model, on any target that costs nothing.

    On a device snapshot each step is one job with all images in it. The manifest says how far each
    step's distribution was from the exact one, before and after mitigation.

    With --workers, --dask or --block images are sampled in blocks, and what was stopped goes on with
    the same command.

    Example:

        qdm sample runs/first --target noisy:fake_torino --shots 512 --num-images 2 --out runs/first/noisy
    """  # noqa: E501 (an example is one line, to be copied as it is)
    with few_collections():
        from ..errors import InvalidOption
        from ..options import build
        from ..sampling import SamplingConfig, by_step, check_output, load_run, read_calibration
        from ..sampling.schedulers import planned_chain
        from ..sampling.shown import chain_line, tile_lines
        from ..tasks import sample as run_sampling

    config = build(
        SamplingConfig,
        {
            "target": target,
            "num_images": num_images,
            "shots": shots,
            "mitigation": mitigation,
            "readout": readout,
            "simulator": simulator,
            "noise": noise,
            "calibration_shots": calibration_shots,
            "layout_trials": layout_trials,
            **({} if layout is None else {"initial_layout": layout}),
            "fractional_gates": fractional_gates,
            "label": label,
            "scheduler": scheduler,
            "num_inference_steps": steps,
            "eta": eta,
            "loader": loader,
            "start": start,
            "noise_source": noise_source,
            "chain": chain,
            "tiles": tiles,
            "tile_buffer": tile_buffer,
            "primitive": primitive,
            "primitive_options": primitive_options,
            "seed": seed,
        },
    )
    if calibration is not None and mitigation != "m3":
        raise InvalidOption("A calibration is used by --mitigation m3 only.")
    if "://" in scheduler:
        raise InvalidOption(
            f"scheduler is a sampler here, got '{scheduler}'; workers of Dask are named by --dask."
        )
    check_output(out)
    taken = None if calibration is None else read_calibration(calibration)
    trained = load_run(run)
    times = planned_chain(trained.process, scheduler, steps, eta)[1]
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    # A bar that cannot be drawn would leave empty lines in front of an error's one line.
    hidden = quiet or not console.is_interactive
    if workers is not None or dask is not None or block is not None:
        from .worker_options import showing_progress, stoppable

        with stoppable(), showing_progress(quiet) as progress:
            samples = run_sampling(
                run,
                config=config,
                out=out,
                calibration=taken,
                workers=workers,
                dask=dask,
                block=block,
                progress=progress,
            )
    else:
        with Progress(console=console, disable=hidden, transient=True) as bar:
            task = bar.add_task("sampling", total=len(times))
            samples = run_sampling(
                trained,
                config=config,
                out=out,
                calibration=taken,
                progress=lambda stage: bar.update(task, description=stage, completed=stage.done),
            )
    chosen = samples.manifest.get("loader_choice")
    if chosen is not None:
        best = max(chosen["tried"], key=lambda each: each["predicted"])
        typer.echo(
            f"loader     {best['loader']}, best of {len(chosen['tried'])} on {chosen['device']}: "
            f"fidelity {best['predicted']:.3f} predicted, {best['two_qubit']} two-qubit gates"
        )
    loaded = [value for each in samples.records for value in each.loaded or ()]
    if loaded:
        typer.echo(
            f"loaded     fidelity {sum(loaded) / len(loaded):.4f} in the mean, {min(loaded):.4f} least"
        )
    way = chain_line(samples.manifest.get("chain"))
    if way:
        typer.echo(f"chain      {way}")
    records = by_step(samples.records)
    for record in records:
        mitigated = record.mitigated_distance
        beside = "" if mitigated is None else f"  mitigated {mitigated:.3f}"
        typer.echo(
            f"t={record.step:<3} distance to exact: raw {record.raw_distance:.3f}{beside}  "
            f"signal left {record.signal_left:.0%}  post-selected {record.postselected:.0%}"
        )
    if records:
        typer.echo(records[-1].sentence)
    if target.startswith(("noisy:", "local:")):
        used = (
            "the mean of each qubit's two, as in Aer" if readout == "mean" else "both of each qubit"
        )
        typer.echo(f"readout    errors: {used}")
    for line in tile_lines(samples.manifest):
        typer.echo(line)
    typer.echo(f"images     {out / 'samples.png'}")
    typer.echo(f"arrays     {out / 'samples.npz'}")
    if samples.rows is not None:
        typer.echo(f"table      {out / 'samples.csv'}")
    typer.echo(f"manifest   {out / 'manifest.json'}")
