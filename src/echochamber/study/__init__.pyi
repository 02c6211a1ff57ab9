from .config import ModelChoice, StartingModel, StudyConfig, VerifyConfig, load_study
from .estimate import Estimate, estimate
from .evaluating import evaluate_model
from .executors import EXECUTORS, ExecutorOptions
from .exporting import export_model, find_models, load_trained
from .importing import import_model
from .plan import Measured, Plan, make_plan
from .results import Result, Results, load, run
from .runner import Study, check_run, open_study, redraw, run_folder, run_study
from .status import status_rows
from .store import Stage, Store
from .trackers import TensorBoard, Trackio, WandB
from .tracking import TrackedRun, Tracker, register_tracker

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
