"""Studies: a file becomes a plan of stages, a store keeps what is made, a run folder shows it."""

from echochamber.study.config import ModelChoice, StartingModel, StudyConfig, VerifyConfig, load_study
from echochamber.study.estimate import Estimate, estimate
from echochamber.study.evaluating import evaluate_model
from echochamber.study.executors import EXECUTORS, ExecutorOptions
from echochamber.study.exporting import export_model, find_models, load_trained
from echochamber.study.importing import import_model
from echochamber.study.plan import Measured, Plan, make_plan
from echochamber.study.results import Result, Results, load, run
from echochamber.study.runner import Study, check_run, open_study, redraw, run_folder, run_study
from echochamber.study.status import status_rows
from echochamber.study.store import Stage, Store
from echochamber.study.trackers import TensorBoard, Trackio, WandB
from echochamber.study.tracking import TrackedRun, Tracker, register_tracker

__all__ = [
    "EXECUTORS",
    "Estimate",
    "ExecutorOptions",
    "Measured",
    "ModelChoice",
    "Plan",
    "Result",
    "Results",
    "Stage",
    "StartingModel",
    "Store",
    "Study",
    "StudyConfig",
    "TensorBoard",
    "TrackedRun",
    "Tracker",
    "Trackio",
    "VerifyConfig",
    "WandB",
    "check_run",
    "estimate",
    "evaluate_model",
    "export_model",
    "find_models",
    "import_model",
    "load",
    "load_study",
    "load_trained",
    "make_plan",
    "open_study",
    "redraw",
    "register_tracker",
    "run",
    "run_folder",
    "run_study",
    "status_rows",
]
