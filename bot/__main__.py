"""`python -m bot` is `robbie`."""

from bot.cli import main

main()
