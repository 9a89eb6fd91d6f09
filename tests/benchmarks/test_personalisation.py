import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from benchmarks.personalisation import Person, measure
from iap_pipelines import IAPPipeline
from tests.pipelines.tiny_components import tiny_pipeline, tiny_transformer
from tests.pipelines.tiny_people import person


def test_an_owned_adapter_reaches_nobody_else_and_one_of_everything_does(tmp_path):
    transformer = tiny_transformer()
    config = LoraConfig(r=2, target_modules=["attn1.to_k", "attn1.to_v"], auto_mapping={"binding": "references"})
    torch.manual_seed(0)
    transformer.add_adapter(config, "ada")
    for name, parameter in transformer.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    IAPPipeline.save_lora_weights(
        tmp_path,
        get_peft_model_state_dict(transformer, adapter_name="ada"),
        transformer_lora_adapter_metadata=transformer.peft_config["ada"].to_dict(),
    )
    people = [Person(name, "base", person(seed), tmp_path) for seed, name in enumerate(("ada", "ben"))]
    changes = measure(tiny_pipeline(), people, num_clips=1, num_steps=1)
    owned, everywhere = changes["its owner's references"], changes["everything"]
    assert owned.references[0] == pytest.approx(everywhere.references[0], rel=1e-4)
    assert owned.references[1] < 1e-6 < 0.01 < everywhere.references[1]
    assert all(half[0] > 0 for half in everywhere.pixels)
