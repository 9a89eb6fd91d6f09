from iap_pipelines.training.metrics_log import MetricsLog


def test_lines_after_the_checkpoint_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0)
    for step in range(4):
        log.append(step, {"loss": 1 / (step + 1)})
    before = path.read_text().splitlines()
    path.write_text(path.read_text() + '{"step": 4, "lo')
    log = MetricsLog(path, 2)
    assert path.read_text().splitlines() == before[:2]
    log.append(2, {"loss": 1 / 3})
    assert path.read_text().splitlines() == before[:3]
