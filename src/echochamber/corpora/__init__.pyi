from .build import build_mixture
from .catalog import CORPORA
from .copies import refuse_evaluation_files
from .identity import NOTHING_RESERVED, Reserved, text_key
from .mixtures import ControlledMixture, MixtureConfig, MixturePlan, PassesMixture, plan_mixture
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
    "CORPORA",
    "LEAKED_SHARE",
    "META_FILE",
    "NOTHING_RESERVED",
    "BaseSource",
    "BaseTask",
    "ControlledMixture",
    "Example",
    "MixtureConfig",
    "MixturePlan",
    "OverlapIndex",
    "PassesMixture",
    "ProblemSet",
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
