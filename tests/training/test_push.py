"""At the end of a run its result goes to the Hub, with a card that may be published."""

from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, ModelCard

from iap_pipelines import IAPPipeline
from iap_pipelines.hub.card_check import check_card
from iap_pipelines.hub.publishing import publish_folder
from iap_pipelines.training.config import TrainingConfig
from iap_pipelines.training.trainer import Trainer
from tests.hub.conftest import hub  # noqa: F401  (a fixture)


def test_the_result_is_uploaded_with_its_card(exporting, hub):  # noqa: F811
    repo_id = f"{hub.user}/stage"
    exporting["export"] = exporting["export"] | {"push_to_hub": repo_id, "license": "apache-2.0"}
    with pytest.raises(ValueError, match="`push_to_hub` needs `publish`"):
        Trainer(TrainingConfig.model_validate(exporting))
    trainer = Trainer(TrainingConfig.model_validate(exporting), publish=publish_folder)
    trainer.run(stop_at=1)
    assert not HfApi().repo_exists(repo_id)
    trainer.run()
    folder = Path(exporting["output"]) / "pipeline"
    assert check_card(folder / "README.md") == []
    card = ModelCard.load(repo_id)
    assert card.data.license == "apache-2.0" and card.data.library_name == "diffusers"
    assert f'from_pretrained("{repo_id}")' in card.text and "$" not in card.text
    here, there = (IAPPipeline.from_pretrained(name).transformer.state_dict() for name in (folder, repo_id))
    assert all(torch.equal(tensor, there[name]) for name, tensor in here.items())
