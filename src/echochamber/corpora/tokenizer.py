"""BPE whose tokens never cross from a prompt into its solution.

Every digit is a token, the blank line is one token, and by default text is not split into words first: a
template that always reads the same becomes few tokens, which lets a small model learn from little data.
Prompt and solution are always tokenized separately and questions right-stripped, whatever the
tokenizer, because a prompt that ends inside a merged token ruins sampling.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Bpe

from echochamber.base import (
    Config,
    EchoError,
    InputError,
    derive_seed,
    digest,
    read_json,
    write_file,
    write_json,
)
from echochamber.corpora.identity import NOTHING_RESERVED, Reserved
from echochamber.corpora.sources import BaseSource, open_source

EOS = "</s>"
PAD = "<pad>"
BLANK_LINE = "\n\n"

TOKENIZER_FILE = "tokenizer.json"
META_FILE = "echochamber_tokenizer.json"

# 256 bytes, end of text, padding, blank line; with fewer entries some texts could not be spelled.
_SMALLEST_VOCABULARY = 259


class TokenizerConfig(Config):
    """How text becomes tokens.

    Attributes:
        vocab_size: rows of the embedding, however many merges the training text yields.
        split_words: learn no token that runs across a space into the next word.
        sample_documents: documents read from each source to learn the merges.
        max_token_length: longest token in characters.
        path: folder of an existing tokenizer (`tokenizer.json`, as Llama 2 ships it) to use instead.
    """

    vocab_size: int = Field(default=1024, ge=_SMALLEST_VOCABULARY)
    split_words: bool = False
    sample_documents: int = Field(default=10_000, ge=1)
    max_token_length: int = Field(default=64, ge=1)
    path: Path | None = None

    def inputs(self) -> tuple[Path, ...]:
        """Files that the tokenizer comes from."""
        return () if self.path is None else (self.path.expanduser() / TOKENIZER_FILE,)


class Tokenizer:
    """Text to token ids and back.

    Attributes:
        vocab_size: rows that an embedding needs; ids are below it.
        eos_id: ends every document and completion.
        pad_id: fills rows of a batch; never a target.
    """

    def __init__(self, bpe: Bpe, *, vocab_size: int, eos: str = EOS, pad: str = PAD) -> None:
        eos_id, pad_id = bpe.token_to_id(eos), bpe.token_to_id(pad)
        if eos_id is None or pad_id is None:
            raise InputError(
                f"the tokenizer has no token '{eos if eos_id is None else pad}'; expected it as eos or pad"
            )
        needed = bpe.get_vocab_size(with_added_tokens=True)
        if needed > vocab_size:
            raise InputError(
                f"tokenizer.vocab_size {vocab_size} is smaller than the tokenizer, which has {needed} "
                f"tokens; set vocab_size to at least {needed}"
            )
        # A special token spelled out in a document is text, not an instruction.
        bpe.encode_special_tokens = True
        bpe.no_padding()
        bpe.no_truncation()
        # Llama 2's adds a beginning-of-text token; here as in transformers, a prompt must have the same ids.
        bpe.post_processor = None
        self._bpe = bpe
        self.vocab_size = vocab_size
        self.eos, self.pad = eos, pad
        self.eos_id, self.pad_id = int(eos_id), int(pad_id)

    def encode_prompt(self, question: str) -> list[int]:
        """Ids of a question and the blank line after it."""
        return self.encode_prompts([question])[0]

    def encode_prompts(self, questions: Sequence[str]) -> list[list[int]]:
        """Ids of several prompts."""
        return self.encode_texts([question.rstrip() + BLANK_LINE for question in questions])

    def encode_solution(self, text: str) -> list[int]:
        """Ids of a solution, without the end of text."""
        return self.encode_texts([text])[0]

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of several texts, in parallel over the cores."""
        return [
            encoding.ids for encoding in self._bpe.encode_batch_fast(list(texts), add_special_tokens=False)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; special tokens and ids without a token are dropped."""
        return str(self._bpe.decode([int(i) for i in ids], skip_special_tokens=True))

    def decode_batch(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Texts of several rows of ids."""
        return list(self._bpe.decode_batch([[int(i) for i in row] for row in rows], skip_special_tokens=True))

    @property
    def num_tokens(self) -> int:
        """Tokens that exist, at most `vocab_size`."""
        return int(self._bpe.get_vocab_size(with_added_tokens=True))

    def fingerprint(self) -> str:
        """Digest of everything that decides how text is tokenized."""
        return digest({"bpe": json.loads(self._bpe.to_str()), "vocab_size": self.vocab_size, "eos": self.eos})

    def save(self, folder: Path) -> None:
        """Write a folder that `Tokenizer.load` and `transformers.AutoTokenizer` read.

        Raises:
            EchoError: the disk refused.
        """
        self.export(folder)
        write_json(
            folder / META_FILE,
            {
                "vocab_size": self.vocab_size,
                "eos": self.eos,
                "pad": self.pad,
                "fingerprint": self.fingerprint(),
            },
        )

    def export(self, folder: Path) -> None:
        """Write files for `transformers.AutoTokenizer`, which then gives the same ids as this tokenizer.

        Raises:
            EchoError: the disk refused.
        """
        write_file(folder / TOKENIZER_FILE, self._bpe.to_str(pretty=True))
        write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": self.eos,
                "pad_token": self.pad,
                "clean_up_tokenization_spaces": False,
                "add_bos_token": False,
                "add_eos_token": False,
                # A special token spelled out in a text stays text.
                "split_special_tokens": True,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read a folder written by `save`.

        Raises:
            EchoError: a file is missing or damaged.
        """
        meta = read_json(folder / META_FILE)
        tokenizer = cls(
            _read_bpe(folder / TOKENIZER_FILE),
            vocab_size=meta["vocab_size"],
            eos=meta["eos"],
            pad=meta["pad"],
        )
        if tokenizer.fingerprint() != meta["fingerprint"]:
            raise EchoError(
                f"{folder / TOKENIZER_FILE} is not the file that was saved there; build the tokenizer again"
            )
        return tokenizer


def _read_bpe(path: Path) -> Bpe:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read {path}: expected a tokenizer folder with a tokenizer.json. "
            "A folder with tokenizer.model alone must be converted with transformers first"
        ) from error
    try:
        json.loads(text)
        return Bpe.from_str(text)
    # The tokenizers library raises a bare Exception for a file it does not understand.
    except Exception as error:
        raise EchoError(f"{path} is damaged or no tokenizer: {error}") from error


def load_foreign(folder: Path, vocab_size: int | None = None) -> Tokenizer:
    """An existing tokenizer, e.g. Llama 2's; `vocab_size` is its number of tokens if None.

    Its end-of-text token comes from `tokenizer_config.json` or is `</s>`; padding falls back to the unknown
    token, then to end of text.

    Raises:
        InputError: no `tokenizer.json`, no end of text, or more tokens than `vocab_size`.
    """
    folder = folder.expanduser()
    bpe = _read_bpe(folder / TOKENIZER_FILE)
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            settings.update({k: v for k, v in read_json(folder / name).items() if v is not None})

    def token(key: str, *fallbacks: str) -> str:
        value = settings.get(key)
        names = [value["content"] if isinstance(value, dict) else value] if value else []
        for name in (*names, *fallbacks):
            if bpe.token_to_id(name) is not None:
                return str(name)
        raise InputError(
            f"{folder}: the tokenizer names no {key.removesuffix('_token')} token; add it to its files"
        )

    eos = token("eos_token", EOS, "<|endoftext|>", "<eos>")
    pad = token("pad_token", PAD, "<unk>", eos)
    rows = bpe.get_vocab_size(with_added_tokens=True) if vocab_size is None else vocab_size
    return Tokenizer(bpe, vocab_size=rows, eos=eos, pad=pad)


# A word with the space before it, one digit, a run of other signs, or white space.
_WORDS = Regex(r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def _new_bpe(config: TokenizerConfig) -> Bpe:
    bpe = Bpe(models.BPE())
    if config.split_words:
        split: Any = pre_tokenizers.Split(_WORDS, behavior="isolated")
    else:
        split = pre_tokenizers.Digits(individual_digits=True)
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_of])
    bpe.decoder = decoders.ByteLevel()
    return bpe


def train_bpe(config: TokenizerConfig, texts: Iterator[str]) -> Tokenizer:
    """Learn the merges from texts; the same texts in the same order give the same tokenizer."""
    bpe = _new_bpe(config)
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size - 1,
        special_tokens=[EOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=config.max_token_length,
        show_progress=False,
    )
    # As an added token, the blank line is matched before anything else, so no merge may contain it.
    pieces = (piece for text in texts for piece in text.split(BLANK_LINE))
    bpe.train_from_iterator(pieces, trainer=trainer)
    bpe.add_tokens([AddedToken(BLANK_LINE, normalized=False)])
    return Tokenizer(bpe, vocab_size=config.vocab_size)


def source_seed(seed: int, name: str) -> int:
    """The seed of the source with that name, so that its order is the same in every mixture."""
    return derive_seed(seed, f"source:{name}")


def train_tokenizer(
    config: TokenizerConfig,
    sources: Mapping[str, BaseSource],
    *,
    seed: int,
    reserved: Reserved = NOTHING_RESERVED,
) -> Tokenizer:
    """The tokenizer that a study specifies: learned from the first documents of its sources, or loaded.

    Raises:
        InputError: a source cannot be read, or the loaded tokenizer does not fit the config.
    """
    if config.path is not None:
        return load_foreign(config.path, config.vocab_size)

    def texts() -> Iterator[str]:
        for name, source in sources.items():
            documents = open_source(source, seed=source_seed(seed, name), reserved=reserved)
            for example in islice(documents, config.sample_documents):
                if example.question is not None:
                    yield example.question.rstrip()
                yield example.solution

    return train_bpe(config, texts())
