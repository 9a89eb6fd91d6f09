"""The page as a Hugging Face Space; on another machine it listens on loopback."""

import os

from iap_pipelines.app.model import AppModel
from iap_pipelines.app.page import build_page, launch
from iap_pipelines.app.scores import ClipScorer


demo = build_page(AppModel.load(), scorer=ClipScorer.load())

if __name__ == "__main__":
    launch(demo, host=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
