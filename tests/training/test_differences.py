import pytest

from nuguide.training.differences import differences

THERE = {"seed": 0, "start": None, "losses": {"dice": 1.0, "iou": 0.0}, "classes": ["a"]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"seed": 1}, "seed 0, now 1"),
        ({"losses": {"dice": 2.0, "iou": 0.0}}, "losses.dice 1.0, now 2.0"),
        ({"start": {"model": "default"}}, "start.model None, now 'default'"),
        ({"new": 3}, "new None, now 3"),
        (
            {"seed": 1, "classes": [], "losses": {"dice": 2.0, "iou": 1.0}},
            "classes ['a'], now []; losses.dice 1.0, now 2.0; losses.iou 0.0, now 1.0 and 1 more",
        ),
    ],
)
def test_differences_are_named_by_their_dotted_keys(changes: dict, said: str):
    assert differences(THERE, THERE | changes) == said
