"""`qdm report transpile` of models of several circuits."""

from __future__ import annotations

import json


def test_from_the_command_line(qdm, tmp_path):
    asked = (
        *("report", "transpile", "qu_net", "--set", "image_size=4", "--set", "levels=2"),
        *(
            "--set",
            "depth=1",
            "--trials",
            "1",
            "--num-images",
            "2",
            "--steps",
            "3",
            "--out",
            tmp_path,
        ),
    )
    found = qdm(*asked, "--json")
    assert found.code == 0, found.err
    data = json.loads(found.out)
    assert (data["num_images"], data["steps"], data["calls"]) == (2, 3, 4)
    shown = qdm(*asked)
    assert "2 images in 3 steps are 12 jobs" in " ".join(shown.out.split())
