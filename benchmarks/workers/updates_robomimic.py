"""Updates of robomimic: its `run_epoch` on its own data set, wholly cached in memory, which it recommends.

Settings: method ("bc" or "bc_rnn"), hidden (of the perceptron), width (of the LSTM), length, gmm, batch, data.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

import h5py
import robomimic.utils.obs_utils as ObsUtils
import robomimic.utils.train_utils as TrainUtils
import torch
from _data import episodes
from _serve import serve, settings, timed
from robomimic.algo import algo_factory
from robomimic.config import config_factory


def written(path, shape):
    obs, action, reward = episodes(shape)
    with h5py.File(path, "w") as file:
        for number in range(len(action)):
            group = file.create_group(f"data/demo_{number}")
            group.attrs["num_samples"] = action.shape[1]
            group["obs/state"], group["actions"] = obs[number, :-1], action[number]
            group["rewards"], group["dones"] = reward[number], reward[number] * 0


def configured(given, path):
    config = config_factory("bc")
    with config.values_unlocked():
        config.train.data, config.train.cuda, config.train.batch_size = str(path), False, given["batch"]
        config.train.hdf5_cache_mode = "all"
        config.train.dataset_keys = ("actions",)
        config.observation.modalities.obs.low_dim = ["state"]
        config.algo.actor_layer_dims = tuple(given["hidden"])
        config.algo.gmm.enabled = given["gmm"]
        if given["method"] == "bc_rnn":
            config.train.seq_length = config.algo.rnn.horizon = given["length"]
            config.algo.rnn.enabled = True
            config.algo.rnn.hidden_dim = given["width"]
    return config


def main():
    given = settings()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        path = Path(folder) / "demos.hdf5"
        written(path, given["data"])
        config = configured(given, path)
        ObsUtils.initialize_obs_utils_with_config(config)
        data, _ = TrainUtils.load_data_for_training(config, obs_keys=["state"])
        shape = given["data"]
        model = algo_factory("bc", config, {"state": [shape["state"]]}, shape["action"], torch.device("cpu"))
    loader = torch.utils.data.DataLoader(data, batch_size=given["batch"], shuffle=True, num_workers=0, drop_last=True)

    def step(count):
        with contextlib.redirect_stdout(sys.stderr):
            TrainUtils.run_epoch(model, loader, epoch=1, num_steps=count)

    serve(timed(step), batch=given["batch"], parameters=sum(value.numel() for value in model.nets.parameters()))


main()
