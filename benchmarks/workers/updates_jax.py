"""Updates in JAX with Optax: one compiled program an update, sampling and target networks included, twin critics as one
batched network; the program waits for each update's losses only at the end of a block, as JAX programs do.

Settings: method ("iql" or "sac"), hidden, batch, data; perhaps critics and norm, as of `updates_plain`.
"""

import functools
import os
from itertools import pairwise

import jax
import jax.numpy as jnp
import optax
from _data import transitions
from _serve import serve, settings, timed


def perceptron(key, inputs, hidden, outputs, norm=False):
    widths = [inputs, *hidden, outputs]
    layers = []
    for one, two in pairwise(widths):
        key, weight, bias = jax.random.split(key, 3)
        bound = one**-0.5
        layers.append(
            (
                jax.random.uniform(weight, (one, two), minval=-bound, maxval=bound),
                jax.random.uniform(bias, (two,), minval=-bound, maxval=bound),
                *((jnp.ones(two), jnp.zeros(two)) if norm and two != outputs else ()),
            )
        )
    return layers


def through(layers, x):
    for weight, bias, *norm in layers[:-1]:
        x = x @ weight + bias
        if norm:
            gain, shift = norm
            x = gain * jax.nn.standardize(x, epsilon=1e-5) + shift
        x = jax.nn.relu(x)
    return x @ layers[-1][0] + layers[-1][1]


def twins(layers, obs, action):
    pair = jnp.concatenate([obs, action], -1)
    return jax.vmap(through, (0, None))(layers, pair)[..., 0]


def normal_log(value, mean, log_scale):
    return (-0.5 * ((value - mean) * jnp.exp(-log_scale)) ** 2 - log_scale - 0.5 * jnp.log(2 * jnp.pi)).sum(-1)


def implicit_losses(weights, targets, batch, key):
    obs, action, reward, after, done = batch
    fixed = jax.lax.stop_gradient
    value = through(weights["value"], obs)[..., 0]
    advantage = fixed(twins(targets, obs, action).min(0)) - value
    value_loss = (jnp.where(advantage > 0, 0.7, 0.3) * advantage**2).mean()
    backup = fixed(reward + (1 - done) * 0.99 * through(weights["value"], after)[..., 0])
    critic_loss = ((twins(weights["critics"], obs, action) - backup) ** 2).mean(1).sum()
    weight = fixed(jnp.minimum(jnp.exp(3.0 * advantage), 100.0))
    mean = jnp.tanh(through(weights["actor"], obs))
    actor_loss = -(weight * normal_log(action, mean, jnp.clip(weights["log_scale"], -5, 2))).mean()
    return value_loss + critic_loss + actor_loss, (value_loss, critic_loss, actor_loss)


def soft_losses(weights, targets, batch, key):
    obs, action, reward, after, done = batch
    fixed = jax.lax.stop_gradient
    first, second, third = jax.random.split(key, 3)
    count = len(weights["critics"][0][0])
    asked = jax.random.permutation(third, count)[:2]
    entropy = jnp.exp(weights["log_weight"])

    def act(seen, key):
        mean, log_scale = jnp.split(through(weights["actor"], seen), 2, -1)
        log_scale = jnp.clip(log_scale, -5, 2)
        raw = mean + jnp.exp(log_scale) * jax.random.normal(key, mean.shape)
        slope = 2 * (jnp.log(2.0) - raw - jax.nn.softplus(-2 * raw))
        return jnp.tanh(raw), normal_log(raw, mean, log_scale) - slope.sum(-1)

    ahead, ahead_log = act(after, first)
    least = twins(jax.tree.map(lambda value: value[asked], targets), after, ahead).min(0)
    backup = fixed(reward + (1 - done) * 0.99 * (least - entropy * ahead_log))
    critic_loss = ((twins(weights["critics"], obs, action) - backup) ** 2).mean(1).sum()
    chosen, log = act(obs, second)
    values = twins(fixed(weights["critics"]), obs, chosen)
    actor_loss = (fixed(entropy) * log - (values.min(0) if count == 2 else values.mean(0))).mean()
    weight_loss = -(entropy * fixed(log - action.shape[1])).mean()
    return critic_loss + actor_loss + weight_loss, (critic_loss, actor_loss, weight_loss)


def main():
    given = settings()
    # One thread's worth, as every other side has; read when JAX is first used.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    data = [jnp.asarray(value) for value in transitions(given["data"])]
    state, action, hidden = data[0].shape[1], data[1].shape[1], given["hidden"]
    *drawn, second, third, last = jax.random.split(jax.random.key(0), given.get("critics", 2) + 3)
    several = [perceptron(key, state + action, hidden, 1, given.get("norm", False)) for key in drawn]
    weights = {"critics": jax.tree.map(lambda *values: jnp.stack(values), *several)}
    if given["method"] == "iql":
        weights |= {"value": perceptron(second, state, hidden, 1), "log_scale": jnp.zeros(action)}
        weights |= {"actor": perceptron(third, state, hidden, action)}
    else:
        weights |= {"actor": perceptron(third, state, hidden, 2 * action), "log_weight": jnp.zeros(())}
    losses = {"iql": implicit_losses, "sac": soft_losses}[given["method"]]
    optimiser = optax.adam(3e-4)
    held = [weights, weights["critics"], optimiser.init(weights), last]
    held = jax.tree.map(jnp.copy, held)

    @functools.partial(jax.jit, donate_argnums=0)
    def update(held, data):
        weights, targets, moments, key = held
        key, drawing, noise = jax.random.split(key, 3)
        index = jax.random.randint(drawing, (given["batch"],), 0, len(data[0]))
        gradient, terms = jax.grad(losses, has_aux=True)(weights, targets, [value[index] for value in data], noise)
        change, moments = optimiser.update(gradient, moments)
        weights = optax.apply_updates(weights, change)
        targets = jax.tree.map(lambda own, other: own + 0.005 * (other - own), targets, weights["critics"])
        return [weights, targets, moments, key], terms

    def step(count):
        nonlocal held
        for _ in range(count):
            held, terms = update(held, data)
        jax.block_until_ready(terms)

    step(1)
    serve(timed(step), batch=given["batch"], parameters=sum(value.size for value in jax.tree.leaves(held[0])))


main()
