"""robosuite raw HDF5: the collection script's states and actions, before observations were replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.data.formats import _hdf5
from imitari.data.formats._assemble import Draft, assemble
from imitari.data.opening import ReadOptions, notice


def detect(path: Path) -> bool:
    keys = _hdf5.demo_keys(path)
    return keys is not None and "obs" not in keys and "states" in keys


def read(path: Path, options: ReadOptions) -> Demos:
    """Simulator states (flattened) become `observation.state`; a notice says that nothing else was observed."""
    with _hdf5.opened(path) as file:
        if "data" not in file or not len(file["data"]):
            raise UserError(f"{path}: group 'data' holds no demo: this is no robosuite recording; check the path")
        data = file["data"]
        about = _hdf5.attributes(data)
        names = _hdf5.by_number(data)
        drafts = [_draft(path, data[name], name, about) for name in names]
    notice(
        f"{path}: holds simulator states and no observations: the state is offered as 'observation.state'; "
        "what a robot would see needs a replay in the simulator that recorded it"
    )
    return assemble(path, "robosuite_raw", drafts, options)


def _draft(path: Path, group: Any, name: str, about: dict[str, Any]) -> Draft:
    states = _hdf5.values(path, name, group, "states")
    action = _hdf5.values(path, name, group, "actions")
    rest = [key for key in group if key not in ("states", "actions") and getattr(group[key], "ndim", 0) >= 1]
    extra = {key: _hdf5.values(path, name, group, key) for key in rest}
    source = {"name": name, **about, **_hdf5.attributes(group)}
    return Draft(name, action, {"observation.state": states}, extra=extra, source=source)
