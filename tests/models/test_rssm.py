"""The world model against closed forms: divergences, likelihoods, a Kalman filter's evidence, a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.models.latents import UNIFORM, CategoricalLatent, GaussianLatent, Latent, balanced
from imitari.models.rssm import RSSM, Path, WorldModel, WorldSettings, sequences
from imitari.models.sensors import LEAST, NumberSensor, PictureSensor
from imitari.nets.critics import flat_action

NUMBERS = "observation.state"
SPEC = Spec({NUMBERS: Feature((3,))}, Feature((2,), low=(-1.0, -1.0), high=(1.0, 1.0)))
TINY = {"memory": 12, "stochastic": 4, "classes": 3, "width": 8, "channels": 4, "length": 6}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("deviation", ["softplus", "sigmoid"])
def test_the_divergence_of_gaussians_is_the_closed_form(deviation: str) -> None:
    latent = GaussianLatent(5, deviation)  # pyright: ignore[reportArgumentType]
    one, other = torch.randn(2, 7, 10)
    parts = [latent.parts(stats) for stats in (one, other)]
    p, q = (Independent(Normal(mean, spread), 1) for mean, spread in parts)
    torch.testing.assert_close(latent.divergence(one, other), kl_divergence(p, q))
    assert latent.divergence(one, one).abs().max() < 1e-6
    values = latent.draw(one[0].expand(40_000, -1), latent.noise(40_000, like=one))
    torch.testing.assert_close(values.mean(0), parts[0][0][0], atol=0.05, rtol=0)
    torch.testing.assert_close(values.std(0), parts[0][1][0], atol=0.05, rtol=0.02)


def test_the_divergence_of_categoricals_is_the_closed_form() -> None:
    latent = CategoricalLatent(4, 3)
    one, other = 2 * torch.randn(2, 7, 12)
    shares = [latent.shares(stats) for stats in (one, other)]
    p, q = (Independent(Categorical(probs=share), 1) for share in shares)
    torch.testing.assert_close(latent.divergence(one, other), kl_divergence(p, q))
    plain = torch.softmax(one.view(7, 4, 3), -1)
    torch.testing.assert_close(shares[0], (1 - UNIFORM) * plain + UNIFORM / 3)
    values = latent.draw(one[0].expand(40_000, -1), latent.noise(40_000, like=one)).view(-1, 4, 3)
    assert set(values.round(decimals=4).unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(values.mean(0), shares[0][0], atol=0.01, rtol=0)


def test_a_drawn_category_has_the_gradient_of_its_probability() -> None:
    latent, weight = CategoricalLatent(2, 3), torch.randn(6)
    stats = torch.randn(5, 6, requires_grad=True)
    (latent.draw(stats, latent.noise(5, like=stats)) * weight).sum().backward()
    again = stats.detach().clone().requires_grad_()
    (latent.shares(again).flatten(-2) * weight).sum().backward()
    torch.testing.assert_close(stats.grad, again.grad)


@pytest.mark.parametrize("latent", [GaussianLatent(4), CategoricalLatent(2, 3)])
def test_balancing_changes_gradients_and_not_the_value(latent: Latent) -> None:
    posterior, prior = torch.randn(2, 6, latent.parameters).unbind(0)
    posterior.requires_grad_()
    prior.requires_grad_()
    plain = balanced(latent, posterior, prior).sum()
    own = torch.autograd.grad(plain, (posterior, prior))
    shared = balanced(latent, posterior, prior, balance=0.8).sum()
    torch.testing.assert_close(shared, plain)
    mine = torch.autograd.grad(shared, (posterior, prior))
    torch.testing.assert_close(mine[0], 0.2 * own[0])
    torch.testing.assert_close(mine[1], 0.8 * own[1])


def test_likelihoods_of_numbers() -> None:
    plain, weighted = (NumberSensor(SPEC, 6, (8,), reweighted=flag) for flag in (False, True))
    weighted.load_state_dict(plain.state_dict())
    features, obs = torch.randn(4, 5, 6), {NUMBERS: torch.randn(4, 5, 3)}
    mean, spread = plain.predict(features)
    each = -Normal(mean, spread).log_prob(obs[NUMBERS])
    torch.testing.assert_close(plain.likelihood(features, obs).loss, each.sum(-1))
    found = weighted.likelihood(features, obs)
    torch.testing.assert_close(found.loss, (each * spread).sum(-1))
    assert found.deviation is not None
    torch.testing.assert_close(found.deviation, spread.mean(-1))
    grad = torch.autograd.grad((each * spread.detach()).sum(), list(plain.decoder.parameters()))
    mine = torch.autograd.grad(found.loss.sum(), list(weighted.decoder.parameters()))
    for one, other in zip(grad, mine, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("side", [16, 32, 64])
def test_pictures_are_read_and_predicted_at_their_size(side: int) -> None:
    sensor = PictureSensor("camera", Feature((side, side, 1), "uint8", "image"), 6, channels=2)
    obs = {"camera": torch.randint(0, 256, (3, 2, side, side, 1), dtype=torch.uint8)}
    assert sensor(obs).shape == (3, 2, sensor.width)
    features = torch.randn(3, 2, 6)
    mean = sensor.predict(features)
    assert mean.shape == (3, 2, 1, side, side)
    target = obs["camera"].movedim(-1, -3) / 255
    expected = -Normal(mean, 1.0).log_prob(target).sum((-1, -2, -3))
    torch.testing.assert_close(sensor.likelihood(features, obs).loss, expected, rtol=1e-5, atol=1e-3)


def test_the_convolutions_of_64_pixels_are_those_of_the_paper() -> None:
    sensor = PictureSensor("camera", Feature((64, 64, 3), "uint8", "image"), 6)
    assert sensor.width == 1024
    kernels = [layer.kernel_size[0] for layer in sensor.up if isinstance(layer, nn.ConvTranspose2d)]
    assert kernels == [5, 5, 6, 6]


@pytest.mark.parametrize("shape", [(8, 8, 3), (32, 16, 3), (48, 48, 3)])
def test_other_pictures_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="--pixels"):
        PictureSensor("camera", Feature(shape, "uint8", "image"), 6)


@pytest.mark.parametrize("model", ["rssm", "rssmo"])
@pytest.mark.parametrize("latent", ["gaussian", "categorical"])
def test_a_sequence_is_a_plain_loop_of_steps(model: str, latent: str) -> None:
    net = RSSM(WorldSettings(**TINY, model=model, latent=latent), SPEC)  # pyright: ignore[reportArgumentType]
    obs, action = {NUMBERS: torch.randn(3, 5, 3)}, torch.randn(3, 5, 2)
    torch.manual_seed(1)
    path = net.observe(net.sensors(obs), action)
    torch.manual_seed(1)
    noise = net.latent.noise(5, 3, like=action)
    memory, value = net.start(3)
    for step in range(5):
        memory = net.cell(net.inlet(torch.cat([value, action[:, step]], -1)), memory)
        seen = net.sensors({NUMBERS: obs[NUMBERS][:, step]})
        stats = net.posterior(net.recall(memory) + net.sight(seen))
        value = net.latent.draw(stats, noise[step])
        torch.testing.assert_close(path.memory[:, step], memory)
        torch.testing.assert_close(path.value[:, step], value)
        assert path.posterior is not None
        torch.testing.assert_close(path.posterior[:, step], stats)
        torch.testing.assert_close(path.prior[:, step], net.prior(memory))
    # Acting takes the same step with the likeliest latent, and so does a path whose noise is none.
    if latent == "gaussian":
        net.latent = _Still(net.latent)
        path = net.observe(net.sensors(obs), action)
        state = net.start(3)
        for step in range(5):
            state = net.filter({NUMBERS: obs[NUMBERS][:, step]}, action[:, step], state)
            torch.testing.assert_close(path.memory[:, step], state[0])
            torch.testing.assert_close(path.value[:, step], state[1])


class _Still:
    """A Gaussian latent without noise."""

    def __init__(self, latent: Latent) -> None:
        self.inner = latent

    def noise(self, *shape: int, like: Tensor) -> Tensor:
        return torch.zeros_like(self.inner.noise(*shape, like=like))

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def test_the_bound_has_the_named_parts() -> None:
    """Free nats bound the mean divergence from below; reweighting multiplies it by the predicted deviation."""
    settings = WorldSettings(**TINY)
    model = WorldModel(settings, SPEC)
    net, obs = model.rssm, {NUMBERS: torch.randn(3, 6, 3)}
    path = net.observe(net.sensors(obs), torch.randn(3, 6, 2))
    terms = net.evidence(obs, path)
    part = net.sensors.parts[0]
    assert isinstance(part, NumberSensor)
    found = part.likelihood(path.features, obs)
    assert found.deviation is not None
    assert path.posterior is not None
    plain = net.latent.divergence(path.posterior, path.prior)
    torch.testing.assert_close(terms["state_loss"], found.loss.sum(1).mean())
    torch.testing.assert_close(terms["kl_loss"], (plain * found.deviation).sum(1).mean())
    assert net.evidence(obs, path, free_nats=50.0)["kl_loss"].item() == 6 * 50


# ---------------------------------------------------------------- a linear Gaussian system inside the model

PULL, PUSH, DRIVE, SIGHT, BLUR = 0.8, 0.5, 0.6, 1.3, 0.4  # s' = PULL s + PUSH a + DRIVE noise, o = SIGHT s + BLUR noise


class _Last(nn.Module):
    """A memory that holds what it was given last, in the place of the recurrent cell."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden_size = 2
        self.weight_hh = nn.Parameter(torch.zeros(1))

    def forward(self, given: Tensor, memory: Tensor) -> Tensor:
        return given


def softplus_inverse(value: float) -> float:
    return float(np.log(np.expm1(value)))


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    layer.weight.data = torch.tensor(weight, dtype=torch.float32)
    layer.bias.data = torch.tensor(bias, dtype=torch.float32)
    return layer


def linear_system(gain: float, spread: float) -> RSSM:
    """The system as an `RSSM`, with a posterior N(m + gain (o - SIGHT m), spread^2), m the prior's mean."""
    spec = Spec({NUMBERS: Feature((1,))}, Feature((1,)))
    net = RSSM(WorldSettings(memory=2, stochastic=1, width=2, length=2), spec)
    net.cell = _Last()  # pyright: ignore[reportAttributeAccessIssue]
    net.prior = nn.Sequential(linear([[PULL, PUSH], [0, 0]], [0, softplus_inverse(DRIVE - 1e-3)]))
    rest = 1 - gain * SIGHT
    net.recall = linear([[rest * PULL, rest * PUSH], [0, 0]], [0, 0])
    net.sight = linear([[gain], [0]], [0, softplus_inverse(spread - 1e-3)])
    net.posterior = nn.Sequential()
    part = net.sensors.parts[0]
    assert isinstance(part, NumberSensor)
    part.reweighted = False
    part.decoder = nn.Sequential(linear([[0, 0, SIGHT], [0, 0, 0]], [0, softplus_inverse(BLUR - LEAST)]))
    return net


def kalman(obs: np.ndarray, action: np.ndarray) -> float:
    """log p(o_1, ..., o_T | a), the state before the first step being 0."""
    mean, variance, total = 0.0, 0.0, 0.0
    for seen, done in zip(obs, action, strict=True):
        mean, variance = PULL * mean + PUSH * done, PULL**2 * variance + DRIVE**2
        whole = SIGHT**2 * variance + BLUR**2
        total += -0.5 * ((seen - SIGHT * mean) ** 2 / whole + np.log(2 * np.pi * whole))
        gain = variance * SIGHT / whole
        mean, variance = mean + gain * (seen - SIGHT * mean), (1 - gain * SIGHT) * variance
    return total


def bound(net: RSSM, obs: np.ndarray, action: np.ndarray, samples: int) -> float:
    """The mean evidence lower bound over drawn latents."""
    shown = {NUMBERS: torch.tensor(obs, dtype=torch.float32).view(1, -1, 1).expand(samples, -1, -1)}
    done = torch.tensor(action, dtype=torch.float32).view(1, -1, 1).expand(samples, -1, -1)
    with torch.no_grad():
        terms = net.evidence(shown, net.observe(net.sensors(shown), done))
    return -float(terms["state_loss"] + terms["kl_loss"])


GAIN = DRIVE**2 * SIGHT / (SIGHT**2 * DRIVE**2 + BLUR**2)  # the exact posterior after one step
SPREAD = np.sqrt(1 - GAIN * SIGHT) * DRIVE


def test_one_step_with_the_exact_posterior_reaches_the_evidence() -> None:
    net = linear_system(GAIN, float(SPREAD))
    for seen in (-1.0, 0.3, 2.0):
        obs, action = np.array([seen]), np.array([0.7])
        assert bound(net, obs, action, 100_000) == pytest.approx(kalman(obs, action), abs=0.02)


def test_the_bound_stays_below_the_evidence_of_a_kalman_filter() -> None:
    rng = np.random.default_rng(0)
    good, bad = linear_system(GAIN, float(SPREAD)), linear_system(0.2, 0.5)
    for _ in range(3):
        action, state, obs = rng.uniform(-1, 1, 8), 0.0, []
        for done in action:
            state = PULL * state + PUSH * done + DRIVE * rng.normal()
            obs.append(SIGHT * state + BLUR * rng.normal())
        evidence = kalman(np.array(obs), action)
        near, far = (bound(net, np.array(obs), action, 20_000) for net in (good, bad))
        assert far < near < evidence + 0.01
        assert near > evidence - 2.0  # what a posterior misses that does not see the future


def test_imagination_has_the_moments_of_the_system() -> None:
    net, steps = linear_system(GAIN, float(SPREAD)), 6
    action = torch.linspace(-1, 1, steps)
    with torch.no_grad():
        path = net.imagine(net.start(60_000), lambda _, step: action[step].expand(60_000, 1), steps)
    mean, cover = np.zeros(steps), np.zeros((steps, steps))
    for t in range(steps):
        mean[t] = (PULL * mean[t - 1] if t else 0.0) + PUSH * float(action[t])
        for u in range(steps):
            cover[t, u] = DRIVE**2 * sum(PULL ** (t + u - 2 * k) for k in range(min(t, u) + 1))
    np.testing.assert_allclose(path.value[..., 0].mean(0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(path.value[..., 0].T.numpy()), cover, atol=0.02)
    assert path.posterior is None


# ---------------------------------------------------------------- sequences


def counting(lengths: list[int]) -> Demos:
    """Observation t of an episode is t, action t is 100 + t."""
    spec = Spec({NUMBERS: Feature((1,))}, Feature((1,)))
    episodes = [
        Episode(
            {NUMBERS: np.arange(length + 1, dtype=np.float32)[:, None]},
            100 + np.arange(length, dtype=np.float32)[:, None],
        )
        for length in lengths
    ]
    return Demos.from_episodes(episodes, spec)


def test_every_observation_comes_with_the_action_that_led_to_it() -> None:
    windows = sequences(counting([9, 3, 20]), 6)
    batch = windows.gather(np.arange(len(windows)))
    net = RSSM(WorldSettings(**TINY), windows.demos.spec)
    obs, action = batch.obs[NUMBERS][..., 0], batch.action[..., 0]
    before = net.before(torch.as_tensor(batch.action), torch.as_tensor(batch.valid))[..., 0].numpy()
    assert (np.diff(obs, axis=1) == 1).all()  # never beyond the end, and no repeated frame
    first = obs == 0
    assert first.any()
    np.testing.assert_array_equal(batch.valid, ~first)
    np.testing.assert_array_equal(action[~first], 100 + obs[~first] - 1)
    np.testing.assert_array_equal(before, np.where(first, 0, 100 + obs - 1))
    assert obs.max() == 20  # the final observation is seen too
    with pytest.raises(UserError, match="--length"):
        sequences(counting([3, 4]), 6)


def test_choices_lead_as_indicators() -> None:
    spec = Spec(SPEC.obs, Feature((1,), "int64", "choice", low=(0.0,), high=(3.0,)))
    net = RSSM(WorldSettings(**TINY), spec)
    action, valid = torch.tensor([[[2], [0]]]), torch.tensor([[True, False]])
    torch.testing.assert_close(net.before(action, valid), flat_action(action, spec.action) * valid[..., None])
    assert net.before(action, valid).tolist() == [[[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]
    path = net.observe(torch.zeros(1, 2, 3), net.before(action, valid))
    assert isinstance(path, Path)
    assert path.features.shape == (1, 2, net.features)
