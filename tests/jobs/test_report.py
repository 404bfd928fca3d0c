"""Reports show agents in the task that they were judged in."""

from pathlib import Path

from imitari.core.starts import FIRST_TEST
from imitari.envs import task_named
from imitari.jobs.claim import training_starts
from imitari.jobs.demonstrations import demonstrate
from imitari.jobs.report import FILMS, films_of
from imitari.jobs.training import TrainRequest, train


def test_films_are_of_the_task_with_the_options_of_its_claim(tmp_path: Path) -> None:
    task = task_named("pushing", angle="sin_cos")  # two numbers for a yaw, where the task has one by itself
    request = TrainRequest("bc", {"steps": 5, "batch": 8, "hidden": [8]}, task="pushing", show=False)
    train(request, tmp_path, demonstrate(task, training_starts(0, 2)), task)
    films, why = films_of(tmp_path, "pushing", FIRST_TEST, {"angle": "sin_cos", "limit": 3})
    assert not why
    assert len(films) == FILMS
