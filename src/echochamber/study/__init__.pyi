from .config import ModelChoice, StartingModel, StudyConfig, VerifyConfig
from .estimate import Estimate, estimate
from .evaluating import evaluate_model
from .executors import EXECUTORS, ExecutorOptions
from .exporting import export_model, find_models, load_trained
from .importing import import_model
from .plan import Measured, Plan, make_plan
from .reading import load_study
from .results import Result, Results, load
from .run import Study, check_run, open_study, run_study
from .run_folder import find_run, redraw
from .status import status_rows
from .store import Stage, Store
from .tracking import TensorBoard, TrackedRun, Tracker, Trackio, WandB, register_tracker

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
    "find_run",
    "import_model",
    "load",
    "load_study",
    "load_trained",
    "make_plan",
    "open_study",
    "redraw",
    "register_tracker",
    "run_study",
    "status_rows",
]
