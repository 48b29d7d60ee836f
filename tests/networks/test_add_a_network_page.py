import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from nuguide.models.card import NetworkSpec
from nuguide.networks import registry

PAGE = Path(__file__).resolve().parents[2] / "docs/add-a-network.md"


def test_the_page_does_what_it_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    definition, use = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (recipe,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    monkeypatch.setattr(registry, "NETWORKS", dict(registry.NETWORKS))
    monkeypatch.setattr(registry, "ARCHITECTURES", (*registry.ARCHITECTURES, "dilated"))
    module = ModuleType("nuguide.networks.dilated")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    exec(definition, module.__dict__)
    exec(use, {})
    assert capsys.readouterr().out.strip() == use.strip().splitlines()[-1].removeprefix("# ")

    table = tomllib.loads(recipe)["network"]
    table["options"]["heads"] = tuple(table["options"]["heads"])
    spec = NetworkSpec(**table)
    network = registry.build_network(spec.architecture, **spec.options)
    assert (network.reads_tokens, network.tile_px, network.grid_px) == (False, None, 16)
