from .config import ModelChoice, StartingModel, StudyConfig, VerifyConfig
from .costs import estimate
from .executors import ExecutorOptions
from .importing import import_model
from .plan import Measured, Plan
from .reading import first_examples, import_modules, labeled_examples, load_study
from .results import Result, Results, load
from .run import Study, check_run, open_study, run_study
from .run_folder import find_run, redraw
from .status import status_rows
from .store import Store
from .tracking import TrackedRun, Tracker, register_tracker
from .trained import evaluate_model, export_model, find_models, load_trained, sample_completions

__all__ = [
    "ExecutorOptions",
    "Measured",
    "ModelChoice",
    "Plan",
    "Result",
    "Results",
    "StartingModel",
    "Store",
    "Study",
    "StudyConfig",
    "TrackedRun",
    "Tracker",
    "VerifyConfig",
    "check_run",
    "estimate",
    "evaluate_model",
    "export_model",
    "find_models",
    "find_run",
    "first_examples",
    "import_model",
    "import_modules",
    "labeled_examples",
    "load",
    "load_study",
    "load_trained",
    "open_study",
    "redraw",
    "register_tracker",
    "run_study",
    "sample_completions",
    "status_rows",
]
