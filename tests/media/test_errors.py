import pickle

from iap_pipelines.media import MediaError


def test_one_line_with_the_file_and_the_reason():
    error = MediaError("a\nb.mp4", "it is\n damaged")
    assert str(error) == "'a\\nb.mp4': it is damaged."
    assert isinstance(error, ValueError)


def test_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(MediaError("a.mp4", "it is damaged")))
    assert (error.path, error.reason, str(error)) == ("a.mp4", "it is damaged", "'a.mp4': it is damaged.")
