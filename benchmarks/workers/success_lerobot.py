"""LeRobot's training loop (lerobot_train.py) on a v3 folder: diffusion policy or ACT, numbers only.

Settings: data (folder), policy ("diffusion" or "act"), config (of the policy), steps, batch, seed, precision ("no" or
"bf16"), own (how many of the observed numbers are the robot's), clip (of the gradient's norm). Batches are loaded in
the process that trains, so that its processor time is the whole.
"""

import contextlib
import os
import sys
import time

import torch
from _serve import settings
from _training import serve_training
from accelerate import Accelerator
from accelerate.utils import set_seed
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.sampler import EpisodeAwareSampler
from lerobot.datasets.utils import cycle
from lerobot.policies.factory import make_policy, make_policy_config, make_pre_post_processors
from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_STATE

wanted = settings()
torch.set_num_threads(1)
accelerator = Accelerator(step_scheduler_with_optimizer=False, cpu=True, mixed_precision=wanted.get("precision", "no"))
set_seed(wanted["seed"])
chatter = contextlib.redirect_stdout(sys.stderr)
with chatter:
    described = LeRobotDataset("local/set", root=wanted["data"])
    config = make_policy_config(wanted["policy"], device="cpu", push_to_hub=False, **wanted["config"])
    fps = described.fps
    past, ahead = config.observation_delta_indices, config.action_delta_indices
    stamps = {ACTION: [index / fps for index in ahead]}
    if past:
        stamps |= {key: [index / fps for index in past] for key in (OBS_STATE, OBS_ENV_STATE)}
    data = LeRobotDataset("local/set", root=wanted["data"], delta_timestamps=stamps)
    policy = make_policy(cfg=config, ds_meta=data.meta)
    prepare, restore = make_pre_post_processors(policy_cfg=config, dataset_stats=data.meta.stats)
    optimizer = config.get_optimizer_preset().build(policy.get_optim_params())
    preset = config.get_scheduler_preset()
    schedule = preset.build(optimizer, wanted["steps"]) if preset else None
sampler = None
if hasattr(config, "drop_n_last_frames"):
    episodes = data.meta.episodes
    sampler = EpisodeAwareSampler(
        episodes["dataset_from_index"],
        episodes["dataset_to_index"],
        drop_n_last_frames=config.drop_n_last_frames,
        shuffle=True,
    )
loader = torch.utils.data.DataLoader(
    data, num_workers=0, batch_size=wanted["batch"], shuffle=sampler is None, sampler=sampler
)
policy, optimizer, loader, schedule = accelerator.prepare(policy, optimizer, loader, schedule)
batches = cycle(loader)
waited, losses = [0.0], []


def advance(left):
    policy.train()
    began = time.process_time()
    batch = prepare(next(batches))
    waited[0] += time.process_time() - began
    with accelerator.autocast():
        loss, _ = policy.forward(batch)
    losses.append(loss.item())
    accelerator.backward(loss)
    accelerator.clip_grad_norm_(policy.parameters(), wanted.get("clip", 10.0))
    optimizer.step()
    optimizer.zero_grad()
    if schedule is not None:
        schedule.step()
    return 1


def begin(count, seed):
    policy.eval()
    policy.reset()
    last = losses[-50:]
    print(f"loading {waited[0]:.1f} s, loss {sum(last) / len(last):.4f} after {len(losses)} updates", file=sys.stderr)


@torch.inference_mode()
def act(seen):
    values, own = torch.tensor(seen, dtype=torch.float32), wanted["own"]
    batch = prepare({OBS_STATE: values[:, :own], OBS_ENV_STATE: values[:, own:]})
    return restore(policy.select_action(batch)).tolist()


parameters = sum(value.numel() for value in policy.parameters())
serve_training(advance, begin, act, wanted["steps"], parameters=parameters, pid=os.getpid())
