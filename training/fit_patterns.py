"""`OPENBLAS_NUM_THREADS=1 python -m training.fit_patterns`: fits tier 1 on the shipped phrases, our own words; run it when they change."""

from __future__ import annotations

from bot.brain.intents import learn
from bot.brain.reflexes import SHIPPED, WEIGHTS

if __name__ == "__main__":
    WEIGHTS.write_bytes(learn(SHIPPED).dump())
