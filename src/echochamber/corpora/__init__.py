"""Where training text and problems come from: sources, tasks, tokenizer, exact mixtures, shards, batches."""

from echochamber.corpora.arithmetic import ArithmeticSource
from echochamber.corpora.batches import TokenData
from echochamber.corpora.build import build_mixture
from echochamber.corpora.catalogue import BENCHMARKS, CORPORA
from echochamber.corpora.copies import refuse_evaluation_files
from echochamber.corpora.files import JsonlSource, JsonlTask, ParquetSource, ParquetTask
from echochamber.corpora.gsm8k import Conversion, Gsm8kSource, Gsm8kTask, conversion_report
from echochamber.corpora.hub import HubSource, HubTask
from echochamber.corpora.identity import NOTHING_RESERVED, Reserved, text_key
from echochamber.corpora.mixtures import (
    ControlledMixture,
    Mixture,
    MixtureConfig,
    MixturePlan,
    PassesMixture,
    PlannedSource,
    Quota,
    plan_mixture,
)
from echochamber.corpora.overlap import LEAKED_SHARE, OverlapIndex
from echochamber.corpora.planning import check_grammars, examine_task
from echochamber.corpora.sources import (
    BaseSource,
    Example,
    SourceConfig,
    open_source,
    permitted,
    register_source,
    text_example,
)
from echochamber.corpora.stand_in import write_stand_ins
from echochamber.corpora.tasks import (
    BaseTask,
    ProblemSet,
    TaskConfig,
    read_problems,
    register_task,
    reserve_problems,
    write_problems,
)
from echochamber.corpora.tokenizer import META_FILE, Tokenizer, TokenizerConfig, load_foreign, train_tokenizer
from echochamber.corpora.word_problems import WordProblemsSource, WordProblemsTask

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
