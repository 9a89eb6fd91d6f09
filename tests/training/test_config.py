from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from iap_pipelines.training.config import TrainingConfig, load_training_config


CONFIGS = sorted((Path(__file__).parents[2] / "training" / "configs").glob("*stage*.yaml"))


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


def test_overrides_replace_values():
    config = load_training_config(CONFIGS[0], {"optimization.steps": 7, "data.dropout.caption": 0.5})
    assert config.optimization.steps == 7
    assert config.data.dropout.caption == 0.5


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
