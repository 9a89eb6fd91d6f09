"""The schema: documented in full, stored in full, and the README says the same."""

import datasets
import pytest
from datasets import Value

from iap_pipelines.data import features
from iap_pipelines.data.features import CONFIGS, describe_configs, identity_features, walk_columns


@pytest.mark.parametrize("config", CONFIGS)
def test_every_column_says_what_it_means(config):
    columns = dict(walk_columns(features._COLUMNS[config]))
    assert columns
    assert not [name for name, column in columns.items() if not column.what.strip()]
    measured = [name for name, column in columns.items() if column.type in (Value("float32"), Value("float64"))]
    assert measured and not [name for name in measured if not columns[name].unit.strip()]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("decode", [True, False])
def test_features_come_back_from_an_arrow_schema(config, decode):
    made = identity_features(config, decode=decode)
    assert datasets.Features.from_arrow_schema(made.arrow_schema) == made


def test_decode_reaches_media_inside_lists():
    subject = identity_features(decode=False)["subjects"].feature
    assert not subject["cross_faces"].feature["image"].decode
    assert identity_features(decode=True)["subjects"].feature["in_pair_voices"].feature["audio"].decode


def test_an_unknown_config_is_refused():
    with pytest.raises(ValueError, match="multi_view"):
        identity_features("everything")


def test_the_readme_lists_every_column(repository):
    text = (repository / "src/iap_pipelines/data/README.md").read_text(encoding="utf-8")
    written = text.split("<!-- columns", 1)[1].split("-->\n", 1)[1].split("<!-- end of columns", 1)[0]
    assert written.strip() == "\n\n".join(describe_configs()).strip(), "run: python -m iap_pipelines.data.features"
