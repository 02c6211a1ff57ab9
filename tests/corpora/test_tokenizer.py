"""Tokens: digits alone, the blank line one token, no token across the end of a prompt."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Bpe
from tokenizers import decoders, models, normalizers

from echochamber.base import EchoError, InputError
from echochamber.corpora import Tokenizer, TokenizerConfig, WordProblemsSource, open_source, train_tokenizer
from echochamber.corpora.tokenizer import train_bpe

CONFIG = TokenizerConfig(vocab_size=512, sample_documents=400)
SOURCES = {
    "code": WordProblemsSource(format="tinygsm"),
    "prose": WordProblemsSource(format="boxed"),
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(CONFIG, SOURCES, seed=0)


def _pieces(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    return [tokenizer.decode([i]) for i in ids]


def test_digits_stand_alone_and_the_blank_line_is_one_token(tokenizer: Tokenizer) -> None:
    pieces = _pieces(
        tokenizer, tokenizer.encode_prompt("Tom has 123 pens.") + tokenizer.encode_solution("a\n\n45")
    )
    assert all(not any(c.isdigit() for c in piece) or len(piece) == 1 for piece in pieces)
    assert pieces.count("\n\n") == 2
    assert all(piece == "\n\n" or "\n\n" not in piece for piece in pieces)


def test_words_are_joined_by_default_and_split_when_asked(tokenizer: Tokenizer) -> None:
    texts = [e.solution for e in islice(open_source(SOURCES["code"], seed=0), 300)]
    split = train_bpe(TokenizerConfig(vocab_size=512, split_words=True), iter(texts))
    joined = train_bpe(TokenizerConfig(vocab_size=512), iter(texts))
    assert len(joined.encode_solution(texts[0])) * 2 < len(split.encode_solution(texts[0]))
    assert any(" " in piece.strip() for piece in _pieces(joined, joined.encode_solution(texts[0])))
    assert not any(" " in piece.strip() for piece in _pieces(split, split.encode_solution(texts[0])))


def test_a_prompt_is_a_prefix_of_its_document(tokenizer: Tokenizer) -> None:
    for example in islice(open_source(SOURCES["prose"], seed=3), 200):
        assert example.question is not None
        whole = tokenizer.encode_solution(example.question + "\n\n" + example.solution)
        parts = tokenizer.encode_prompt(example.question) + tokenizer.encode_solution(example.solution)
        assert whole == parts


def test_questions_are_stripped_on_the_right(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode_prompt("How many? \n") == tokenizer.encode_prompt("How many?")
    assert tokenizer.encode_prompts(["a", "b "]) == [
        tokenizer.encode_prompt("a"),
        tokenizer.encode_prompt("b"),
    ]


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=60))
def test_every_text_survives(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode_solution(text)
    assert tokenizer.decode(ids) == text
    assert all(0 <= i < tokenizer.vocab_size for i in ids)


def test_special_tokens_in_a_document_are_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_solution("</s> and <pad>")
    assert tokenizer.eos_id not in ids and tokenizer.pad_id not in ids
    assert tokenizer.decode(ids) == "</s> and <pad>"


def test_special_and_unused_ids_are_dropped(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_solution("seven")
    assert tokenizer.decode([*ids, tokenizer.eos_id, tokenizer.pad_id]) == "seven"
    few = train_bpe(TokenizerConfig(vocab_size=2000), iter(["ab ab ab"]))
    assert few.vocab_size == 2000 and few.num_tokens < 300
    assert few.decode([*few.encode_solution("ab"), 1999]) == "ab"
    assert few.decode_batch([few.encode_solution("ab"), []]) == ["ab", ""]


def test_training_is_deterministic_across_processes(tokenizer: Tokenizer, tmp_path: Path) -> None:
    program = (
        "from echochamber.corpora import *\n"
        "s={'code': WordProblemsSource(format='tinygsm'), 'prose': WordProblemsSource(format='boxed')}\n"
        "c=TokenizerConfig(vocab_size=512, sample_documents=400)\n"
        "print(train_tokenizer(c, s, seed=0).fingerprint())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == tokenizer.fingerprint()


def test_save_and_load(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded.fingerprint() == tokenizer.fingerprint()
    assert (loaded.vocab_size, loaded.eos_id, loaded.pad_id) == (512, tokenizer.eos_id, tokenizer.pad_id)
    text = "Tom has 12 pens.\n\nHe"
    assert loaded.encode_solution(text) == tokenizer.encode_solution(text)
    data = json.loads((tmp_path / "tokenizer.json").read_text())
    data["model"]["merges"].pop()
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(EchoError, match="build the tokenizer again"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(EchoError, match="damaged"):
        Tokenizer.load(tmp_path)


def test_transformers_reads_the_folder(tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "Tom has 12 pens.\n\nHe"
    assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode_solution(text)
    assert (theirs.eos_token_id, theirs.pad_token_id) == (tokenizer.eos_id, tokenizer.pad_id)
    assert theirs.decode(tokenizer.encode_solution(text)) == text


def _llama_like(folder: Path) -> None:
    """A tokenizer built as Llama 2's is: sentencepiece-style BPE with byte fallback and a dummy space."""
    specials = ["<unk>", "<s>", "</s>"]
    pieces = specials + [f"<0x{b:02X}>" for b in range(256)] + ["▁", "a", "b", "7", "▁a", "ab", "▁ab"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    model = models.BPE(
        vocab, [("▁", "a"), ("a", "b"), ("▁a", "b")], unk_token="<unk>", fuse_unk=True, byte_fallback=True
    )
    bpe = Bpe(model)
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    bpe.add_special_tokens(specials)
    folder.mkdir()
    bpe.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": {"content": "</s>"}, "pad_token": None, "add_bos_token": True})
    )


def test_a_llama_style_folder_is_used_as_it_is(tmp_path: Path) -> None:
    _llama_like(tmp_path / "llama")
    config = TokenizerConfig(vocab_size=320, path=tmp_path / "llama")
    tokenizer = train_tokenizer(config, {}, seed=0)
    assert (tokenizer.eos_id, tokenizer.pad_id, tokenizer.vocab_size) == (2, 0, 320)
    assert tokenizer.decode(tokenizer.encode_solution("ab a7é")) == "ab a7é"
    assert _pieces(tokenizer, tokenizer.encode_prompt("ab"))[-2:] == ["\n", "\n"]
    assert 1 not in tokenizer.encode_prompt("ab"), "no begin token"
    tokenizer.save(tmp_path / "saved")
    assert Tokenizer.load(tmp_path / "saved").encode_prompt("ab") == tokenizer.encode_prompt("ab")


def test_a_vocabulary_smaller_than_a_loaded_tokenizer_is_refused(tmp_path: Path) -> None:
    _llama_like(tmp_path / "llama")
    config = TokenizerConfig(vocab_size=260, path=tmp_path / "llama")
    with pytest.raises(InputError, match=r"vocab_size 260 is smaller than the tokenizer, which has 266"):
        train_tokenizer(config, {}, seed=0)
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        train_tokenizer(TokenizerConfig(path=tmp_path / "none"), {}, seed=0)
