from .arithmetic import ArithmeticSource
from .build import build_mixture
from .catalog import BENCHMARKS, CORPORA
from .copies import refuse_evaluation_files
from .gsm8k_corpus import Conversion, Gsm8kSource, Gsm8kTask, conversion_report
from .hub import HubSource, HubTask
from .identity import NOTHING_RESERVED, Reserved, text_key
from .local_files import JsonlSource, JsonlTask, ParquetSource, ParquetTask
from .mixtures import (
    ControlledMixture,
    Mixture,
    MixtureConfig,
    MixturePlan,
    PassesMixture,
    PlannedSource,
    Quota,
    plan_mixture,
)
from .overlap import LEAKED_SHARE, OverlapIndex
from .planning import check_grammars, examine_task
from .sources import (
    BaseSource,
    Example,
    SourceConfig,
    open_source,
    permitted,
    register_source,
    text_example,
)
from .stand_in import write_stand_ins
from .tasks import (
    BaseTask,
    ProblemSet,
    TaskConfig,
    read_problems,
    register_task,
    reserve_problems,
    write_problems,
)
from .token_data import TokenData
from .tokenizer import META_FILE, Tokenizer, TokenizerConfig, load_foreign, train_tokenizer
from .word_problems import WordProblemsSource, WordProblemsTask

__all__ = [
    "BENCHMARKS",
    "CORPORA",
    "LEAKED_SHARE",
    "META_FILE",
    "NOTHING_RESERVED",
    "ArithmeticSource",
    "BaseSource",
    "BaseTask",
    "ControlledMixture",
    "Conversion",
    "Example",
    "Gsm8kSource",
    "Gsm8kTask",
    "HubSource",
    "HubTask",
    "JsonlSource",
    "JsonlTask",
    "Mixture",
    "MixtureConfig",
    "MixturePlan",
    "OverlapIndex",
    "ParquetSource",
    "ParquetTask",
    "PassesMixture",
    "PlannedSource",
    "ProblemSet",
    "Quota",
    "Reserved",
    "SourceConfig",
    "TaskConfig",
    "TokenData",
    "Tokenizer",
    "TokenizerConfig",
    "WordProblemsSource",
    "WordProblemsTask",
    "build_mixture",
    "check_grammars",
    "conversion_report",
    "examine_task",
    "load_foreign",
    "open_source",
    "permitted",
    "plan_mixture",
    "read_problems",
    "refuse_evaluation_files",
    "register_source",
    "register_task",
    "reserve_problems",
    "text_example",
    "text_key",
    "train_tokenizer",
    "write_problems",
    "write_stand_ins",
]
