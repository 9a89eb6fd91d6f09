import re
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from pydantic import BaseModel, ValidationError
from transformers.models.umt5.modeling_umt5 import UMT5Block

from iap_pipelines.models.transformer_iap import IAPTransformerBlock
from iap_pipelines.training.config import TrainingConfig, load_training_config, parse_overrides


TRAINING = Path(__file__).parents[2] / "training"
PATTERNS = ("*stage*.yaml", "ablation*.yaml", "lora.yaml")
CONFIGS = sorted({path for pattern in PATTERNS for path in (TRAINING / "configs").glob(pattern)})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_repository_is_valid(path):
    load_training_config(path)


@pytest.mark.parametrize("section", [(), ("data",), ("data", "dropout"), ("flow", "sigmas"), ("model",), ("stage",)])
def test_unknown_keys_fail(config_values, section):
    place = config_values
    for key in section:
        place = place.setdefault(key, {})
    place["surprise"] = 1
    with pytest.raises(ValidationError, match="surprise"):
        TrainingConfig.model_validate(config_values)


def test_unknown_arguments_of_the_transformer_fail(config_values):
    config_values["model"]["transformer"] = config_values["model"]["transformer"] | {"num_layer": 2}
    with pytest.raises(ValidationError, match="num_layer"):
        TrainingConfig.model_validate(config_values)


def test_a_tower_that_does_not_run_cannot_learn(config_values):
    config_values["stage"] = {"target": "frames", "trainable": ["video", "audio"]}
    with pytest.raises(ValidationError, match="'audio', but that tower does not run"):
        TrainingConfig.model_validate(config_values)


def test_no_more_draws_are_exchanged_than_there_are(config_values):
    config_values["flow"] |= {"num_draws": 2, "exchange_draws": 3}
    with pytest.raises(ValidationError, match="at most `num_draws`=2, but got 3"):
        TrainingConfig.model_validate(config_values)


def test_overrides_replace_values():
    config = load_training_config(CONFIGS[0], {"optimization.steps": 7, "data.dropout.caption": 0.5})
    assert config.optimization.steps == 7
    assert config.data.dropout.caption == 0.5


def test_overrides_are_yaml_behind_a_key():
    entries = ["optimization.steps=5", "data.num_subjects=[1,2]", "data.captions=a=b"]
    assert parse_overrides(entries) == {"optimization.steps": 5, "data.num_subjects": [1, 2], "data.captions": "a=b"}
    for entry in ("optimization.steps", "=5", "a=[1"):
        with pytest.raises(ValueError, match=f"`--set` expects .* {re.escape(repr(entry))}"):
            parse_overrides([entry])


def test_an_override_below_a_value_fails():
    with pytest.raises(ValueError, match="has no keys below it"):
        load_training_config(CONFIGS[0], {"seed.low": 1})


def test_every_key_is_explained():
    def models(model):
        yield model
        for field in model.model_fields.values():
            for kind in [field.annotation, *getattr(field.annotation, "__args__", ())]:
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    yield from models(kind)

    import ast
    import inspect

    import iap_pipelines.training.config as module

    tree = ast.parse(inspect.getsource(module))
    names = {model.__name__ for model in models(TrainingConfig)}
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in names):
        for statement, following in zip(cls.body, [*cls.body[1:], None], strict=True):
            if isinstance(statement, ast.AnnAssign) and statement.target.id not in ("type", "model_config"):
                explained = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                assert explained, f"{cls.name}.{statement.target.id} has no explanation"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_key_of_a_file_is_explained_right_above_it(path):
    lines = path.read_text().splitlines()
    keys = [index for index, line in enumerate(lines) if re.match(r" *\w+:", line)]
    assert keys
    missing = [lines[index] for index in keys if not lines[index - 1].lstrip().startswith("# ")]
    assert not missing


@pytest.mark.parametrize("name", ["single", "ddp", "fsdp2"])
def test_accelerate_reads_its_configs(name):
    config = load_config_from_file(str(TRAINING / "accelerate" / f"{name}.yaml"))
    assert config.num_machines == 1
    if name == "fsdp2":
        wrapped = config.fsdp_config["fsdp_transformer_layer_cls_to_wrap"].split(",")
        assert wrapped == [IAPTransformerBlock.__name__, UMT5Block.__name__]
        assert config.fsdp_config["fsdp_version"] == 2
