"""``qdm run``: plan a sampling run on hardware, see what it costs, send it, collect it, replay it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .budget import ROOT, RootOption, existing_ledger
from .models import JsonOption

if TYPE_CHECKING:
    from ..hardware.dry_run import DryRun
    from ..hardware.ledger import RunState
    from ..hardware.plan import RunPlan

app = typer.Typer(
    help="Runs on hardware: plan, submit, status, resume, collect, cancel, replay, report.",
    no_args_is_help=True,
)

RunId = Annotated[str, typer.Argument(help="Id or folder of a run, or 'latest'.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress lines.")]


@app.command("plan")
def plan(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run, or of a checkpoint.")],
    target: Annotated[
        str,
        typer.Option(
            help="Where to run, tried in order: ibm:NAME, ibm:least_busy, local:SNAPSHOT, engine ..."
        ),
    ],
    num_images: Annotated[int, typer.Option(help="Images; all of a step go in one job.")] = 16,
    shots: Annotated[
        int | None, typer.Option(help="Shots for each image and step, on average (4096).")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="QPU seconds of the whole run, in place of --shots.")
    ] = None,
    precision: Annotated[
        float | None, typer.Option(help="Pixel error wanted, for --schedule precision.")
    ] = None,
    schedule: Annotated[
        str, typer.Option(help="Shots over the steps: uniform, variance or precision.")
    ] = "uniform",
    mitigation: Annotated[str, typer.Option(help="Readout mitigation: none or m3.")] = "none",
    calibration_shots: Annotated[
        int, typer.Option(help="Shots of each calibration circuit.")
    ] = 8192,
    calibration_method: Annotated[
        str, typer.Option(help="Calibration circuits: balanced or independent.")
    ] = "balanced",
    calibration_hours: Annotated[
        float, typer.Option(help="Age at which a calibration is taken again.")
    ] = 24.0,
    mode: Annotated[
        str, typer.Option(help="auto, job, batch or session; auto by the account's plan.")
    ] = "auto",
    dynamical_decoupling: Annotated[
        str, typer.Option(help="Pulses on idle qubits: off, XX, XpXm or XY4.")
    ] = "off",
    twirl_gates: Annotated[
        bool, typer.Option("--twirl-gates", help="Pauli twirling of two-qubit gates.")
    ] = False,
    twirl_measure: Annotated[
        bool, typer.Option("--twirl-measure", help="Twirling of the readout.")
    ] = False,
    rep_delay: Annotated[
        float | None, typer.Option(help="Repetition delay in seconds; the device's own without.")
    ] = None,
    max_execution_seconds: Annotated[
        int | None, typer.Option(help="IBM cancels a job that takes longer.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Budget that pays.")] = None,
    max_queue: Annotated[
        int | None, typer.Option(help="Pass over a QPU with more waiting jobs.")
    ] = None,
    min_success: Annotated[
        float | None, typer.Option(help="Pass over a target with less expected success.")
    ] = None,
    ask_ibm: Annotated[
        bool,
        typer.Option("--dry-run", help="Ask IBM for its estimate too, free; not on the Open Plan."),
    ] = False,
    layout_trials: Annotated[int, typer.Option(help="Transpiler seeds tried.")] = 5,
    label: Annotated[
        int | None, typer.Option(help="Class of all images; guided models only.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random stream.")] = 0,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Plan a run and show what it would cost; free, nothing is sent.

    The plan cannot be changed afterwards: it is bound by a hash, with its circuits and a copy of the
    model beside it. Of several targets, as in ibm:least_busy,local:fake_torino, the first that
    satisfies the policy is taken.

    Example:

        qdm run plan runs/first --target aer --shots 256 --num-images 2
    """
    from ..errors import InvalidOption
    from ..hardware.fallback import FallbackPolicy, plan_on_first
    from ..hardware.ledger import Ledger
    from ..hardware.plan import ExecutionOptions
    from ..hardware.planning import PlanConfig
    from ..options import build
    from ..reports.hardware_plan import plan_lines, plan_summary

    if shots is not None and (seconds is not None or precision is not None):
        raise InvalidOption(
            "Give one of --shots, --seconds and --precision: each decides the shots."
        )
    options = build(
        ExecutionOptions,
        {
            "dynamical_decoupling": dynamical_decoupling,
            "twirl_gates": twirl_gates,
            "twirl_measure": twirl_measure,
            "rep_delay_seconds": rep_delay,
            "max_execution_seconds": max_execution_seconds,
        },
    )
    values = {
        "targets": tuple(each.strip() for each in target.split(",")),
        "num_images": num_images,
        "shots": 4096 if shots is None else shots,
        "seconds": seconds,
        "precision": precision,
        "schedule": schedule,
        "mitigation": mitigation,
        "calibration_shots": calibration_shots,
        "calibration_method": calibration_method,
        "calibration_ttl_seconds": _whole_seconds(calibration_hours),
        "mode": mode,
        "budget": budget,
        "layout_trials": layout_trials,
        "label": label,
        "seed": seed,
    }
    from dataclasses import replace

    config = replace(build(PlanConfig, values), options=options)
    ledger = Ledger.open(root)
    state = None if budget is None else ledger.budget(budget)
    made = plan_on_first(
        run,
        config,
        FallbackPolicy(max_queue=max_queue, min_success=min_success),
        root=root,
        look=_look(root),
        budget=state,
        progress=(lambda text: None) if quiet or as_json else _say,
    )
    ledger.add_run(
        made.run_id,
        plan_sha256=made.content_sha256,
        budget=made.budget,
        total_steps=made.num_steps,
        seconds_estimated=made.total_seconds,
    )
    asked = _dry_run(made, root) if ask_ibm else None
    if as_json:
        summary = plan_summary(made, state)
        summary["dry_run"] = None if asked is None else asdict(asked)
        typer.echo(json.dumps(summary, indent=2))
        return
    for line in plan_lines(made, state):
        typer.echo(line)
    if asked is not None:
        ibm = "gives no estimate" if asked.seconds is None else f"estimates {asked.seconds:.2f} s"
        typer.echo(f"\ndry run    t = {asked.step}: IBM {ibm}, we {asked.ours:.2f} s")
    typer.echo(f"\nplan       {made.folder / 'plan.json'}")
    typer.echo(f"go on by   {_command('submit', made.run_id, root)} --yes")


@app.command("submit")
def submit(
    plan: Annotated[str, typer.Argument(help="A plan.json, a run's folder or id, or 'latest'.")],
    yes: Annotated[bool, typer.Option("--yes", help="Really send the jobs, and pay.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when the first job is sent.")
    ] = False,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Send a planned run and work through its chain, step by step.

    Without --yes it only says what that would cost. It can be stopped at any moment: what is sent
    stays sent, and `qdm run resume` goes on.

    Example:

        qdm run submit latest --yes
    """
    from ..errors import InvalidOption
    from ..hardware.chain import submit_run
    from ..hardware.plan import read_plan

    folder = _folder(plan, root)
    found = read_plan(folder)
    if not yes:
        where = found.target if found.is_qpu else f"{found.target}, which charges nothing"
        raise InvalidOption(
            f"Run {found.run_id} takes {found.num_jobs} jobs, {found.total_shots} shots and about "
            f"{found.total_seconds:.1f} QPU seconds on {where}; nothing was sent. Send it with "
            f"`{_command('submit', found.run_id, folder.parent)} --yes`."
        )
    with _resumable(found.run_id, folder.parent):
        state = submit_run(folder, detach=detach, report=_reporter(quiet, as_json))
    _print_state(state, folder, as_json)


@app.command("resume")
def resume(
    run: RunId,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Go on with a run at the step that it has reached, in any process, on any day.

    Example:

        qdm run resume latest
    """
    from ..hardware.chain import resume_run

    folder = _folder(run, root)
    with _resumable(folder.name, folder.parent):
        state = resume_run(folder.parent, folder.name, report=_reporter(quiet, as_json))
    _print_state(state, folder, as_json)


@app.command("collect")
def collect(
    run: RunId,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fetch what is finished and record what it cost; send nothing new.

    Example:

        qdm run collect latest
    """
    from ..hardware.chain import collect_run

    folder = _folder(run, root)
    with _resumable(folder.name, folder.parent):
        state = collect_run(folder.parent, folder.name, report=_reporter(quiet, as_json))
    _print_state(state, folder, as_json)


@app.command("status")
def status(
    run: Annotated[
        str | None, typer.Argument(help="Id or folder of a run, or 'latest'; all runs without.")
    ] = None,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Say where a run stands; asks no service.

    Example:

        qdm run status latest --json
    """
    if run is None:
        list_runs(root=root, as_json=as_json)
        return
    folder = _folder(run, root)
    _print_state(_state(folder), folder, as_json)


@app.command("list")
def list_runs(root: RootOption = ROOT, as_json: JsonOption = False) -> None:
    """List all runs of a root, oldest first.

    Example:

        qdm run list
    """
    folders = _run_folders(root)
    rows = [_state_row(_state(folder), folder) for folder in folders]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    typer.echo(f"{'run':<36}{'state':<9}{'steps':>8}{'jobs':>6}{'QPU s, estimated':>18}{'real':>8}")
    for row in rows:
        done = f"{row['total_steps'] - row['step']}/{row['total_steps']}"
        typer.echo(
            f"{row['run']:<36}{row['state']:<9}{done:>8}{row['jobs']:>6}"
            f"{row['seconds_estimated']:>18.1f}{row['seconds']:>8.1f}"
        )


@app.command("cancel")
def cancel(run: RunId, root: RootOption = ROOT, as_json: JsonOption = False) -> None:
    """Cancel the jobs that wait or run, and give back what is reserved for the rest.

    Example:

        qdm run cancel latest
    """
    from ..hardware.chain import cancel_run

    folder = _folder(run, root)
    _print_state(cancel_run(folder.parent, folder.name), folder, as_json)


@app.command("replay")
def replay(run: RunId, root: RootOption = ROOT, as_json: JsonOption = False) -> None:
    """Compute the images again from the record alone, and compare them with the stored ones.

    Example:

        qdm run replay latest
    """
    from ..hardware.replay import replay as replay_run

    folder = _folder(run, root)
    found = replay_run(folder)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        typer.echo(found.sentence())
    if not found.equal:
        raise typer.Exit(1)


@app.command("report")
def report(
    run: RunId,
    out: Annotated[Path | None, typer.Option(help="Folder for the page; RUN/report.")] = None,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Write a run's page: images by step, cost estimated and real, distance to exact.

    Example:

        qdm run report latest
    """
    from ..reports.hardware import hardware_report, write_hardware_report

    folder = _folder(run, root)
    page, pictures = hardware_report(folder)
    files = write_hardware_report(page, pictures, out or folder / "report")
    if as_json:
        typer.echo(json.dumps(page.to_dict(), indent=2))
        return
    for file in files:
        typer.echo(f"report     {file}")


def _whole_seconds(hours: float) -> int:
    from ..errors import InvalidOption

    if not 0 < hours <= 1e5:
        raise InvalidOption(f"calibration_hours is more than 0 and at most 1e5, got {hours}.")
    return max(1, round(hours * 3600))


def _look(root: Path) -> Any:
    """How ``ibm:`` targets are looked at; connects when the first one is, and once."""
    from ..hardware.service import look
    from ..hardware.settings import read_settings

    return look(read_settings(root))


def _dry_run(plan: RunPlan, root: Path) -> DryRun | None:
    """IBM's estimate; the plan stands without it, so a refusal is a note."""
    from ..errors import ServiceUnavailable, TargetUnavailable
    from ..hardware.dry_run import dry_run
    from ..hardware.service import connect
    from ..hardware.settings import read_settings

    try:
        if not plan.is_qpu:
            raise TargetUnavailable(f"'{plan.target}' is no QPU.")
        return dry_run(plan, connect(settings=read_settings(root)))
    except (ServiceUnavailable, TargetUnavailable) as error:
        typer.echo(f"note: no dry run: {error}", err=True)
        return None


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _reporter(quiet: bool, as_json: bool) -> Any:
    return None if quiet or as_json else _say


def _folder(text: str, root: Path) -> Path:
    """The folder of a run from its id, its folder, its plan.json, or 'latest'.

    Raises:
        MissingData: If there is none.
    """
    from ..errors import MissingData
    from ..hardware.plan import PLAN, is_run_id

    if text == "latest":
        folders = _run_folders(root)
        if not folders:
            raise MissingData(f"There are no runs in {root}; plan one with `qdm run plan`.")
        return max(folders, key=lambda folder: (folder / PLAN).stat().st_mtime_ns)
    if is_run_id(text) and (root / text / PLAN).is_file():
        return root / text
    path = Path(text)
    folder = path.parent if path.name == PLAN else path
    if (folder / PLAN).is_file():
        return folder
    raise MissingData(
        f"There is no run '{text}' in {root}, nor a plan of that name; `qdm run list` lists the runs, "
        "--root names another folder."
    )


def _run_folders(root: Path) -> list[Path]:
    from ..hardware.plan import PLAN, is_run_id

    if not root.is_dir():
        return []
    found = [each for each in root.iterdir() if is_run_id(each.name) and (each / PLAN).is_file()]
    return sorted(found, key=lambda folder: ((folder / PLAN).stat().st_mtime_ns, folder.name))


def _state(folder: Path) -> RunState:
    """What the ledger says; a plan that it does not know yet is planned."""
    from ..errors import MissingData
    from ..hardware.ledger import RunState
    from ..hardware.plan import read_plan

    try:
        return existing_ledger(folder.parent).run_state(folder.name)
    except MissingData:
        plan = read_plan(folder)
        return RunState(
            run_id=plan.run_id,
            state="planned",
            step=plan.num_steps,
            total_steps=plan.num_steps,
            jobs=0,
            seconds_estimated=plan.total_seconds,
            seconds_charged=0.0,
            reason=None,
            budget=plan.budget,
            plan_sha256=plan.content_sha256,
            updated_at=0.0,
        )


def _state_row(state: RunState, folder: Path) -> dict[str, Any]:
    row = asdict(state)
    return {
        "run": row.pop("run_id"),
        **row,
        "seconds": state.seconds_charged,
        "folder": str(folder),
    }


def _print_state(state: RunState, folder: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_state_row(state, folder), indent=2))
    else:
        done = state.total_steps - state.step
        typer.echo(f"run        {state.run_id}")
        typer.echo(f"state      {state.state}, {done} of {state.total_steps} steps done")
        typer.echo(
            f"QPU        {state.jobs} jobs, {state.seconds_charged:.1f} s charged, "
            f"about {state.seconds_estimated:.1f} s estimated for the whole run"
        )
        if state.reason:
            typer.echo(f"reason     {state.reason}")
        if state.state == "done":
            typer.echo(f"images     {folder / 'samples.png'}")
        elif state.state == "running":
            typer.echo(f"go on by   {_command('resume', state.run_id, folder.parent)}")


@contextmanager
def _resumable(run_id: str, root: Path) -> Iterator[None]:
    """Ctrl-C leaves with 130 and says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(
            "stopped; jobs that were sent go on without us, and nothing is paid twice; continue "
            f"with: {_command('resume', run_id, root)}",
            err=True,
        )
        raise typer.Exit(130) from None  # cli.main says the rest


def _command(name: str, run_id: str, root: Path) -> str:
    where = "" if root == ROOT else f" --root {shlex.quote(str(root))}"
    return f"qdm run {name} {run_id}{where}"
