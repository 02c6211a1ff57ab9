"""What every room builds on: errors, configs, digests, seeds, problems, files, tables, text, messages."""

from echochamber.base.config import (
    Config,
    Document,
    assign,
    parse_yaml,
    read_yaml,
    set_value,
    validate,
)
from echochamber.base.data_files import read_files, read_rows, text_field
from echochamber.base.digests import canonical_json, digest, digest_file
from echochamber.base.errors import EchoError, InputError, Interrupted, did_you_mean
from echochamber.base.files import (
    atomic_folder,
    explained_disk,
    explained_write,
    fault_point,
    fsync_folder,
    open_alone,
    publish_folder,
    read_json,
    set_aside,
    write_file,
    write_json,
)
from echochamber.base.json_rows import Row
from echochamber.base.lock import RunLock
from echochamber.base.machine import machine_cpus
from echochamber.base.messages import (
    listening,
    mute_messages,
    note,
    say,
    say_error,
    warn,
)
from echochamber.base.problem import Problem
from echochamber.base.progress import Progress, no_progress, progress
from echochamber.base.registry import Registry
from echochamber.base.seeds import derive_seed
from echochamber.base.stopping import stop_requested, stop_signals
from echochamber.base.text import printable, storable
from echochamber.base.variants import Variants, tag_of

__all__ = [
    "Config",
    "Document",
    "EchoError",
    "InputError",
    "Interrupted",
    "Problem",
    "Progress",
    "Registry",
    "Row",
    "RunLock",
    "Variants",
    "assign",
    "atomic_folder",
    "canonical_json",
    "derive_seed",
    "did_you_mean",
    "digest",
    "digest_file",
    "explained_disk",
    "explained_write",
    "fault_point",
    "fsync_folder",
    "listening",
    "machine_cpus",
    "mute_messages",
    "no_progress",
    "note",
    "open_alone",
    "parse_yaml",
    "printable",
    "progress",
    "publish_folder",
    "read_files",
    "read_json",
    "read_rows",
    "read_yaml",
    "say",
    "say_error",
    "set_aside",
    "set_value",
    "stop_requested",
    "stop_signals",
    "storable",
    "tag_of",
    "text_field",
    "validate",
    "warn",
    "write_file",
    "write_json",
]
