"""Models made elsewhere: from a folder to a policy and its tokenizer, checked against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from echochamber import corpora, model
from echochamber.base import InputError, atomic_folder, digest_file

MODEL, TOKENIZER = "model", "tokenizer"


def _places(folder: Path) -> tuple[Path, Path]:
    """Where the weights and the tokenizer are in a folder: our layout has a subfolder for each."""
    if (folder / MODEL / model.CONFIG_FILE).is_file():
        return folder / MODEL, folder / TOKENIZER
    return folder, folder


def describe_folder(folder: Path) -> model.Description:
    """A description of the folder's model, without reading its weights.

    Raises:
        InputError: it holds no model.
        EchoError: a file is damaged.
    """
    return model.describe(_places(folder.expanduser())[0])


def input_files(folder: Path) -> list[Path]:
    """The files that decide what a folder holds: weights, configs, tokenizer.

    Raises:
        InputError: the folder holds no model.
    """
    weights, tokenizer = _places(folder.expanduser())
    model.read_description(weights)
    named = {*weights.glob("*.json"), *tokenizer.glob("*.json"), *model.weight_files(weights)}
    return sorted(named)


def fingerprint(folder: Path) -> dict[str, str]:
    """Digest of every file that decides what a folder holds, by its name in the folder.

    Raises:
        InputError: the folder holds no model.
    """
    folder = folder.expanduser()
    return {str(path.relative_to(folder)): digest_file(path) for path in input_files(folder)}


def _tokenizer(folder: Path, num_rows: int) -> corpora.Tokenizer:
    """The tokenizer beside a model whose embedding has `num_rows` rows."""
    if (folder / corpora.META_FILE).is_file():
        tokenizer = corpora.Tokenizer.load(folder)
    else:
        tokenizer = corpora.load_foreign(folder)
    if tokenizer.num_tokens > num_rows:
        raise InputError(
            f"{folder}: the tokenizer has {tokenizer.num_tokens:,} tokens, but the model's embedding has "
            f"{num_rows:,} rows; use the tokenizer that the model was trained with"
        )
    tokenizer.vocab_size = num_rows
    return tokenizer


def read_model(folder: Path) -> tuple[model.Policy, corpora.Tokenizer]:
    """A model with its tokenizer, from a Hugging Face folder or from one that `import_model` wrote.

    Raises:
        InputError: there is no such folder, the architecture is unknown, or the tokenizer is missing or does
            not fit the model.
        EchoError: weights are missing, damaged or of the wrong shape.
    """
    weights, tokenizer = _places(folder.expanduser())
    policy = model.load_policy(weights)
    return policy, _tokenizer(tokenizer, policy.config.vocab_size)


def write_model(policy: model.Policy, tokenizer: corpora.Tokenizer, folder: Path) -> None:
    """Write `model/` and `tokenizer/` in our layout."""
    policy.write(folder / MODEL)
    tokenizer.save(folder / TOKENIZER)


def import_model(source: Path, target: Path) -> dict[str, Any]:
    """Convert a foreign folder to our layout; returns a summary of the model.

    Raises:
        InputError: the source cannot be read, or the target already exists.
        EchoError: weights are missing or damaged, or the target could not be written.
    """
    with atomic_folder(target) as folder:
        policy, tokenizer = read_model(source)
        write_model(policy, tokenizer, folder)
    found = model.describe(target / MODEL)
    return {
        "architecture": describe_folder(source).kind,
        "parameters": found.num_parameters,
        "layers": found.num_layers,
        "d_model": found.d_model,
        "context": found.context_length,
        "vocabulary": found.vocab_size,
        "tokens": tokenizer.num_tokens,
        "dtype": str(policy.head_weight.dtype).removeprefix("torch."),
    }
