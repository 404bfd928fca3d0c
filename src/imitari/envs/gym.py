"""gymnasium's own environments: MuJoCo locomotion and the classic control problems."""

from __future__ import annotations

from typing import Any

from imitari.core.errors import Missing, UserError, missing_extra
from imitari.core.spec import Spec
from imitari.core.task import Actor, Task, World
from imitari.envs._experts import expert_from, find_expert, folder
from imitari.envs._single import STATE, Flat, Scored, action_feature, image_features, single_task, state_feature

OPEN = True  # any id that gymnasium has registered
# Task -> the return an episode needs to count as solved: gymnasium's own threshold where it has one (None), else a
# value that a trained agent reaches and an untrained one does not.
RETURNS: dict[str, float | None] = {
    "HalfCheetah-v5": None,
    "Hopper-v5": 3000.0,
    "Walker2d-v5": 3000.0,
    "Ant-v5": None,
    "Swimmer-v5": 300.0,
    "Humanoid-v5": 5000.0,
    "HumanoidStandup-v5": 100_000.0,
    "Reacher-v5": None,
    "Pusher-v5": None,
    "InvertedPendulum-v5": None,
    "InvertedDoublePendulum-v5": None,
    "CartPole-v1": None,
    "Acrobot-v1": None,
    "MountainCar-v0": None,
    "MountainCarContinuous-v0": None,
    "Pendulum-v1": -300.0,
    "LunarLander-v3": None,
    "BipedalWalker-v3": None,
}


def ids() -> list[str]:
    return list(RETURNS)


def task(
    name: str,
    pixels: int | None = None,
    cameras: tuple[str | int, ...] = (-1,),
    expert: str | None = None,
    continuous: bool = False,
) -> Task:
    """An environment by its gymnasium id; others than those listed are accepted too.

    Solved: `info["success"]` or `info["is_success"]` where the environment gives it, else at the end of an
    episode whose return is at least the threshold of RETURNS or of the registration; without any, never.

    Args:
        pixels: also observe square images of this side (MuJoCo environments).
        cameras: names or numbers of the model's cameras; -1: a free one that sees the whole model.
        expert: algorithm of the trained expert to use (tqc, sac, ppo, dqn, trpo); default: the best that is there.
        continuous: LunarLander with continuous actions.
    """
    import gymnasium

    options: dict[str, Any] = {"continuous": True} if continuous else {}
    registration = gymnasium.registry.get(name)
    if registration is None:
        raise UserError(f"gymnasium has no environment '{name}': `imitari tasks` lists some, its documentation all")

    limit = registration.max_episode_steps or 1000
    threshold = RETURNS.get(name) if RETURNS.get(name) is not None else registration.reward_threshold

    def make() -> Any:
        return Scored(gymnasium.make(name, disable_env_checker=True, **options).unwrapped, limit, threshold)

    try:
        probe = make().unwrapped
    except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
        if "ox2" in str(error):
            raise Missing("box2d", 'install it with: pip install "gymnasium[box2d]"') from error
        raise missing_extra("mujoco", "sim") from error
    spec = Spec({STATE: state_feature(probe.observation_space)}, action_feature(probe.action_space))
    if pixels and not hasattr(probe, "model"):
        raise UserError(f"task 'gym/{name}' has no cameras: leave out --pixels")
    spec = Spec({**spec.obs, **image_features(cameras, pixels)}, spec.action)
    return single_task(
        f"gym/{name}",
        make,
        spec,
        limit,
        lambda: Flat(pixels, cameras),
        expert_for=_expert(name, spec, expert),
        description=f"gymnasium {name}" + ("" if threshold is None else f", solved from a return of {threshold:g}"),
    )


def _expert(name: str, spec: Spec, algorithm: str | None) -> Any:
    entry = find_expert(name, spec.action.kind != "choice", algorithm)

    def expert_for(world: World) -> Actor:
        if entry is None:
            raise UserError(
                f"task 'gym/{name}' has no {algorithm or 'trained'} expert in {folder()}: set IMITARI_DATA to the "
                "folder with expert_policies, or give demonstrations with --data"
            )
        return expert_from(entry, spec.action)

    return expert_for
