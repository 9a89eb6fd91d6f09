"""Write the cards anew from templates and facts: `make cards`."""

from pathlib import Path

from iap_pipelines.hub.cards import render_all


if __name__ == "__main__":
    for path in render_all(Path(__file__).parent / "facts"):
        print(path)
