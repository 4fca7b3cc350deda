"""A FAKE of the embedded model's process: its "GGUF" holds the address of the server to talk to."""

import json
import sys
from pathlib import Path

settings = json.loads(sys.stdin.readline())
print(json.dumps({"address": Path(settings["path"]).read_bytes()[4:].decode()}), flush=True)
sys.stdin.read()
