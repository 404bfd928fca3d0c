"""robomimic's training loop (scripts/train.py) on HDF5: behaviour cloning with memory and a mixture of Gaussians.

Settings: data (.hdf5), key (of the observation), batch, seed, steps, algo (dotted settings below `config.algo`),
length (of the sequences).
"""

import contextlib
import sys

import numpy as np
import torch
from _serve import settings
from _training import serve_training

PIECE = 50  # updates between looks at the clock

wanted = settings()
torch.set_num_threads(1)
np.random.seed(wanted["seed"])
torch.manual_seed(wanted["seed"])
with contextlib.redirect_stdout(sys.stderr):
    import robomimic.utils.file_utils as files
    import robomimic.utils.obs_utils as observations
    import robomimic.utils.train_utils as training
    from robomimic.algo import algo_factory
    from robomimic.config import config_factory

    config = config_factory("bc")
    with config.values_unlocked():
        config.observation.modalities.obs.low_dim = [wanted["key"]]
        config.train.data = wanted["data"]
        config.train.seed = wanted["seed"]
        config.train.batch_size = wanted["batch"]
        config.train.seq_length = wanted.get("length", 1)
        config.train.num_data_workers = 0
        config.train.hdf5_cache_mode = "all"
        config.train.hdf5_normalize_obs = False  # they are stored with unit deviation
        config.train.dataset_keys = ["actions"]
        config.experiment.validate = False
        for name, value in wanted["algo"].items():
            *folders, last = name.split(".")
            place = config.algo
            for folder in folders:
                place = place[folder]
            place[last] = value
    observations.initialize_obs_utils_with_config(config)
    shapes = files.get_shape_metadata_from_dataset(wanted["data"], config.all_obs_keys, verbose=False)
    device = torch.device("cpu")
    model = algo_factory("bc", config, shapes["all_shapes"], shapes["ac_dim"], device)
    data, _ = training.load_data_for_training(config, obs_keys=shapes["all_obs_keys"])
    loader = torch.utils.data.DataLoader(
        data, sampler=data.get_dataset_sampler(), batch_size=wanted["batch"], shuffle=True, drop_last=True
    )
epochs = [0]


def advance(left):
    epochs[0] += 1
    with contextlib.redirect_stdout(sys.stderr):
        training.run_epoch(model=model, data_loader=loader, epoch=epochs[0], num_steps=PIECE)
    return PIECE


def begin(count, seed):
    model.set_eval()
    model.reset()


@torch.no_grad()
def act(values):
    seen = {wanted["key"]: torch.tensor(values, dtype=torch.float32)}
    return model.get_action(obs_dict=seen).tolist()


parameters = sum(value.numel() for value in model.nets.parameters())
serve_training(advance, begin, act, wanted["steps"], parameters=parameters)
