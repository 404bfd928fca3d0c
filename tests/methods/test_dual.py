"""The methods of Dual RL against linear programmes, flow equations, fixed points and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.labelled import EXPERT, labelled
from imitari.learn.learner import Learner
from imitari.learn.method import Method
from imitari.learn.run import Run
from imitari.methods.offline.f_dvl import DualV, DualVLearning
from imitari.methods.offline.recoil import DualCritic, DualValue, ReCOIL
from imitari.methods.offline.smodice import SMODICE, WeightedCloner
from imitari.methods.offline.xql import ExtremeQLearning
from imitari.nets.divergences import chi_square_ratio

KEY = "observation.state"
STATES, ACTIONS, GAMMA = 6, 3, 0.9
SPEC = Spec({KEY: Feature((STATES,))}, Feature((1,), "int64", "choice", low=(0.0,), high=(float(ACTIONS - 1),)))
NUMBERS = Spec({KEY: Feature((3,))}, Feature((2,), low=(-1.0, -1.0), high=(1.0, 1.0)))


class Table:
    """A deterministic decision process that never ends, with every state-action pair in the data once."""

    def __init__(self, seed: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.after = rng.integers(STATES, size=(STATES, ACTIONS))
        self.reward = rng.uniform(-0.5, 0.5, (STATES, ACTIONS))
        self.state, self.action = (grid.reshape(-1) for grid in np.indices(self.reward.shape))

    def batch(self) -> Batch:
        eye = torch.eye(STATES)
        return Batch(
            obs={KEY: eye[self.state]},
            action=torch.from_numpy(self.action)[:, None],
            reward=torch.from_numpy(self.reward.reshape(-1)).float(),
            discount=torch.full((len(self.state),), GAMMA),
            next_obs={KEY: eye[self.after.reshape(-1)]},
        )

    def optimum(self) -> np.ndarray:
        """V* as a linear programme: the least sum of V(s) with V(s) >= r(s, a) + gamma V(s') for all (s, a)."""
        rows = np.zeros((len(self.state), STATES))
        rows[np.arange(len(rows)), self.after.reshape(-1)] += GAMMA
        rows[np.arange(len(rows)), self.state] -= 1
        return linprog(np.ones(STATES), A_ub=rows, b_ub=-self.reward.reshape(-1), bounds=(None, None)).x


def trained(method: Method, spec: Spec, batch: Batch, steps: int) -> Learner:
    run = Run(seed=0, device="cpu", show=False)
    learner = run.build(lambda: method.learner(spec))
    return run.train(learner, lambda step: batch, method.optim(), steps)  # type: ignore[attr-defined]


def test_values_of_f_dvl_are_those_of_the_linear_programme() -> None:
    """Of three actions a state, the quantile (2 lambda - 1) / lambda is the largest value for lambda 0.9."""
    table = Table()
    method = DualVLearning(balance=0.9, hidden=(64,), lr=1e-2, tau=0.05, schedule="cosine", steps=900, norm=False)
    learner = trained(method, SPEC, table.batch(), 900)
    assert isinstance(learner, DualV)
    with torch.inference_mode():
        value = learner.value({KEY: torch.eye(STATES)}).numpy()
        choice = learner.act({KEY: torch.eye(STATES)[:, None]})[:, 0, 0].numpy()
    best = table.optimum()
    np.testing.assert_allclose(value, best, atol=0.06)
    assert choice.tolist() == (table.reward + GAMMA * best[table.after]).argmax(1).tolist()


def test_values_of_xql_are_the_soft_fixed_point() -> None:
    table, alpha = Table(), 0.5
    method = ExtremeQLearning(
        alpha=alpha, max_clip=0.0, hidden=(64,), lr=1e-2, tau=0.05, schedule="cosine", steps=900, norm=False
    )
    learner = trained(method, SPEC, table.batch(), 900)
    exact = np.zeros(STATES)
    for _ in range(300):
        exact = alpha * np.log(np.exp((table.reward + GAMMA * exact[table.after]) / alpha).mean(1))
    with torch.inference_mode():
        value = learner.value({KEY: torch.eye(STATES)}).numpy()  # type: ignore[operator]
    np.testing.assert_allclose(value, exact, atol=0.03)


def solved(loss: object, steps: int = 60) -> Tensor:
    """The table V (states,) that minimises a convex `loss`."""
    value = torch.zeros(STATES, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([value], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        out: Tensor = loss(value)  # type: ignore[operator]
        out.backward()
        return out

    for _ in range(steps):
        optimiser.step(closure)
    return value.detach()


class Visits:
    """Expert visits that obey the flow of the table, and unlabelled visits that do not, as weighted samples.

    Every pair is a sample of the unlabelled data; the expert's are drawn from a fixed policy.
    """

    def __init__(self) -> None:
        self.table = Table(5)
        rng = np.random.default_rng(1)
        state = torch.from_numpy(self.table.state)
        after = torch.from_numpy(self.table.after.reshape(-1))
        picked = torch.from_numpy(rng.integers(len(state), size=8))
        self.state = torch.cat([state[picked], state])
        self.after = torch.cat([after[picked], after])
        self.expert = torch.arange(len(self.state)) < len(picked)
        self.discount = torch.full((len(self.state),), GAMMA, dtype=torch.float64)

    def gain(self, value: Tensor) -> Tensor:
        return GAMMA * value[self.after] - value[self.state]

    def unbalanced(self, visits: Tensor) -> Tensor:
        """What enters and leaves each state: (1 - gamma) d0 + gamma sum d(s, a) [s' here] - sum d(s here, a)."""
        other = ~self.expert
        start = torch.bincount(self.state[other], minlength=STATES).double() / other.sum()
        enters = torch.zeros(STATES, dtype=torch.float64).index_add(0, self.after, visits)
        leaves = torch.zeros(STATES, dtype=torch.float64).index_add(0, self.state, visits)
        return (1 - GAMMA) * start + GAMMA * enters - leaves


def test_weights_of_smodice_obey_the_flow_of_the_process() -> None:
    """At the optimum of the dual the weighted data are the visits of a policy: they fulfil the primal constraint."""
    visits = Visits()
    learner = SMODICE(gamma=GAMMA, hidden=(8,)).learner(SPEC)
    assert isinstance(learner, WeightedCloner)
    reward = torch.from_numpy(np.random.default_rng(2).normal(size=len(visits.state)))
    other = ~visits.expert

    def loss(value: Tensor) -> Tensor:
        return learner.value_loss(value[visits.state], reward + visits.gain(value), other)

    weight = chi_square_ratio(reward + visits.gain(solved(loss))) * other / other.sum()
    assert float(weight.sum()) == pytest.approx(1, abs=1e-5)
    assert float(visits.unbalanced(weight).abs().max()) < 1e-4
    assert float(weight.std()) > 0.01


def test_visits_of_recoil_v_obey_the_flow_of_the_process() -> None:
    """beta d = d_mix - (1 - beta) d_S, with d_mix the weighted mixture, are the visits of a policy."""
    visits = Visits()
    learner = ReCOIL(form="value", gamma=GAMMA, hidden=(8,)).learner(SPEC)
    assert isinstance(learner, DualValue)

    def loss(value: Tensor) -> Tensor:
        return learner.value_loss(value[visits.state], visits.gain(value), visits.discount, visits.expert)

    ratio = chi_square_ratio(visits.gain(solved(loss)))
    share = torch.where(visits.expert, 0.5 / visits.expert.sum(), 0.5 / (~visits.expert).sum()).double()
    plain = torch.where(visits.expert, 0.0, 1.0 / (~visits.expert).sum()).double()
    policy = (ratio * share - 0.5 * plain) / 0.5
    assert float(policy.sum()) == pytest.approx(1, abs=1e-5)
    assert float(visits.unbalanced(policy).abs().max()) < 1e-4
    assert float((ratio * share - share).abs().max()) > 0.01


def loop(expert: bool, state: int, action: int) -> Batch:
    """One step that leads back to where it was."""
    here = torch.eye(STATES)[[state]]
    return Batch(
        obs={KEY: here, "observation.absorbed": torch.zeros(1, 1)},
        action=torch.tensor([[action]]),
        discount=torch.tensor([0.5]),
        next_obs={KEY: here, "observation.absorbed": torch.zeros(1, 1)},
        extra={EXPERT: torch.tensor([int(expert)], dtype=torch.uint8)},
    )


def both(a: Batch, b: Batch) -> Batch:
    return Batch(
        obs={key: torch.cat([value, b.obs[key]]) for key, value in a.obs.items()},
        action=torch.cat([a.action, b.action]),
        discount=torch.cat([a.discount, b.discount]),
        next_obs={key: torch.cat([value, b.next_obs[key]]) for key, value in a.next_obs.items()},  # type: ignore[union-attr,index]
        extra={EXPERT: torch.cat([a.extra[EXPERT], b.extra[EXPERT]])},
    )


@pytest.mark.parametrize(("form", "exact"), [("orig", 4.0), ("semi", 4.0), ("stable", 0.4 / (0.1 + 0.125))])
def test_an_experts_loop_has_the_value_of_the_fixed_point(form: str, exact: float) -> None:
    """2 / (1 - gamma) = 4 with linear terms. Held to that with weight c, 2 c (Q - 4) + (1 - gamma) Q / 4 = 0."""
    method = ReCOIL.from_json(
        {"form": form, "gamma": 0.5, "hidden": (32,), "lr": 1e-2, "tau": 0.1, "steps": 700, "norm": False,
         "schedule": "cosine"}
    )  # fmt: skip
    learner = trained(method, SPEC, both(loop(True, 0, 1), loop(False, 3, 2)), 700)
    assert isinstance(learner, DualCritic)
    assert learner.highest == 4
    batch = loop(True, 0, 1)
    with torch.inference_mode():
        assert float(learner.critics(batch.obs, batch.action).mean()) == pytest.approx(exact, abs=0.1)
        assert float(learner.value(batch.obs)) == pytest.approx(exact, abs=0.1)
        lowered = learner.critics(loop(False, 3, 2).obs, batch.action * 0 + 2).mean()
    assert lowered < 0.5


def number_batch(count: int, seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    obs = {KEY: torch.randn(count, 3, generator=draw), "observation.absorbed": torch.zeros(count, 1)}
    after = {KEY: torch.randn(count, 3, generator=draw), "observation.absorbed": torch.zeros(count, 1)}
    return Batch(
        obs=obs,
        action=torch.rand(count, 2, generator=draw) * 2 - 1,
        reward=torch.randn(count, generator=draw),
        discount=torch.full((count,), 0.99),
        next_obs=after,
        extra={EXPERT: (torch.arange(count) < count // 2).to(torch.uint8)},
    )


def test_terms_of_recoil_against_a_plain_loop() -> None:
    torch.manual_seed(0)
    method = ReCOIL(hidden=(16,), gamma=0.9, temperature=5.0, action_noise=0.0, norm=False)
    learner = method.learner(NUMBERS)
    assert isinstance(learner, DualCritic)
    with torch.no_grad():
        for parameter in learner.target.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    batch = number_batch(12)
    batch.obs["observation.absorbed"][3] = 1.0
    terms = learner.losses(batch)
    value, actor, critic = [0.0] * 3
    for number in range(12):
        obs = {key: entry[[number]] for key, entry in batch.obs.items()}
        after = {key: entry[[number]] for key, entry in batch.next_obs.items()}  # type: ignore[union-attr]
        action = batch.action[[number]]
        with torch.no_grad():
            q = learner.critics(obs, action)[:, 0]
            u = float(learner.target(obs, action).min() - learner.value(obs))
            policy = learner.actor(obs)
            value += (0.8 if u > 0 else 0.2) * u**2 / 12
            if number != 3:
                density = torch.distributions.Normal(policy.mean, policy.log_scale.exp()).log_prob(action).sum()  # type: ignore[union-attr]
                actor -= min(float(np.exp(5 * u)), 100.0) * float(density) / 12
            critic += float(((0.99 * learner.value(after) - q) ** 2).sum()) * 0.25 / 12
            if number < 6:
                critic += 0.05 * float(((q - 20) ** 2).sum()) / 6
            else:
                critic += 0.05 * float((learner.critics(obs, policy.mode)[:, 0] ** 2).sum()) / 6
    assert terms["value_loss"].item() == pytest.approx(value, rel=1e-4)
    assert terms["actor_loss"].item() == pytest.approx(actor, rel=1e-4)
    assert terms["critic_loss"].item() == pytest.approx(critic, rel=1e-4)


def test_random_actions_enter_the_value_loss_alone() -> None:
    torch.manual_seed(0)
    plain = DualVLearning(hidden=(16,), norm=False).learner(NUMBERS)
    torch.manual_seed(0)
    smoothed = DualVLearning(hidden=(16,), norm=False, random_actions=True).learner(NUMBERS)
    batch = number_batch(8)
    torch.manual_seed(5)
    one, two = plain.losses(batch), smoothed.losses(batch)
    assert one["critic_loss"].item() == two["critic_loss"].item()
    assert one["actor_loss"].item() == two["actor_loss"].item()
    torch.manual_seed(5)
    other = torch.rand(8, 2) * 2 - 1
    values: list[float] = []
    for action in (batch.action, other):
        for number in range(8):
            obs = {key: entry[[number]] for key, entry in batch.obs.items()}
            d = (smoothed.target(obs, action[[number]]).min() - smoothed.value(obs)).item()  # type: ignore[operator]
            values.append(0.8 * max(d, 0.0) - 0.2 * d)
    assert two["value_loss"].item() == pytest.approx(np.mean(values), rel=1e-4)


def test_logit_of_the_discriminator_is_the_log_ratio() -> None:
    """On a few points with known shares in both groups."""
    rng = np.random.default_rng(0)
    first, second = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])
    codes = np.concatenate([rng.choice(3, 20_000, p=first), rng.choice(3, 20_000, p=second)])
    method = SMODICE(hidden=(32,), lr=3e-3, penalty=0.0, absorbing=False)
    learner = method.learner(NUMBERS)
    assert isinstance(learner, WeightedCloner)
    whole = Batch(
        obs={KEY: torch.eye(3)[codes]},
        action=torch.zeros(len(codes), 2),
        extra={EXPERT: torch.arange(len(codes)) < 20_000},
    )
    Run(device="cpu", show=False).train(learner.judge, lambda step: whole, method.optim(), 150, stage="discriminator")
    points = Batch(obs={KEY: torch.eye(3)}, action=torch.zeros(3, 2))
    np.testing.assert_allclose(learner.judge.reward(points).numpy(), np.log(first / second), atol=0.1)


@pytest.mark.parametrize("method", [ReCOIL(steps=1, hidden=(8,)), SMODICE(steps=1, hidden=(8,), discriminator_steps=1)])
def test_data_without_marks_is_refused(method: ReCOIL | SMODICE, random_demos: Demos) -> None:
    with pytest.raises(UserError, match="--play"):
        method.fit(random_demos.select([KEY]), Run(device="cpu", show=False))


def test_held_out_episodes_are_only_looked_at(random_demos: Demos) -> None:
    demos = labelled(random_demos.keep(range(4)), random_demos.keep(range(4, 12))).select([KEY])
    run = Run(device="cpu", show=False, report_every=5, held=demos.keep([0, 5, 6]))
    ReCOIL(steps=10, batch=8, hidden=(8,)).fit(demos.keep([1, 2, 3, 7, 8, 9]), run)
    assert np.isfinite(run.metrics.rows[-1]["held_critic_loss"])


def test_problems_are_one_sentence() -> None:
    with pytest.raises(UserError, match="balance is 0"):
        DualVLearning(balance=0)
    with pytest.raises(UserError, match="alpha is 0"):
        ExtremeQLearning(alpha=0)
    with pytest.raises(UserError, match="beta is 1"):
        ReCOIL(beta=1)
