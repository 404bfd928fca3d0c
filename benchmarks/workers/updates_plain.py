"""Updates of plain single-file loops in the style of CORL and CleanRL: one network and one Adam a part, one backward
pass a loss, target parameters moved one by one, a replay buffer of tensors that is indexed with fresh random numbers.

Settings: method ("bc", "iql" or "sac"), hidden, batch, fused (Adam's fused form, or Adam as it comes), data; perhaps
critics (how many, 2) and norm (LayerNorm in them): with more than two, the target is the least of two drawn ones and
the policy climbs their mean, as in REDQ and RLPD.
"""

import copy
from itertools import pairwise

import numpy as np
import torch
from _data import transitions
from _serve import serve, settings, timed
from torch import nn
from torch.nn import functional


def perceptron(inputs, hidden, outputs, norm=False):
    widths = [inputs, *hidden]
    layers = []
    for one, two in pairwise(widths):
        layers += [nn.Linear(one, two), *([nn.LayerNorm(two)] if norm else []), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


class Loop:
    """Buffer, optimisers, and what one update does."""

    def __init__(self, given):
        self.arrays = [torch.from_numpy(value) for value in transitions(given["data"])]
        self.batch, self.fused, self.hidden = given["batch"], given["fused"] or None, given["hidden"]
        self.count, self.norm = given.get("critics", 2), given.get("norm", False)
        self.state, self.action = self.arrays[0].shape[1], self.arrays[1].shape[1]
        self.optimisers = []
        self.build()

    def adam(self, parameters, rate=3e-4):
        self.optimisers.append(torch.optim.Adam(parameters, rate, fused=self.fused))
        return self.optimisers[-1]

    def sample(self):
        index = np.random.randint(0, len(self.arrays[0]), self.batch)
        return [value[index] for value in self.arrays]

    def parameters(self):
        groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        return sum(value.numel() for group in groups for value in group["params"])

    @staticmethod
    def descend(optimiser, loss):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    @staticmethod
    def follow(targets, networks):
        for target, network in zip(targets, networks, strict=True):
            for own, other in zip(target.parameters(), network.parameters(), strict=True):
                own.data.copy_(0.995 * own.data + 0.005 * other.data)

    def critics(self):
        networks = [perceptron(self.state + self.action, self.hidden, 1, self.norm) for _ in range(self.count)]
        return networks, [copy.deepcopy(network).requires_grad_(False) for network in networks]


class Cloning(Loop):
    def build(self):
        self.actor = perceptron(self.state, self.hidden, self.action)
        self.optimiser = self.adam(self.actor.parameters(), 1e-3)

    def update(self):
        obs, action, *_ = self.sample()
        loss = functional.mse_loss(self.actor(obs), action)
        self.descend(self.optimiser, loss)
        return {"loss": loss.item()}


class ImplicitQ(Loop):
    def build(self):
        self.networks, self.targets = self.critics()
        self.value = perceptron(self.state, self.hidden, 1)
        self.actor = nn.Sequential(perceptron(self.state, self.hidden, self.action), nn.Tanh())
        self.log_scale = nn.Parameter(torch.zeros(self.action))
        self.for_value = self.adam(self.value.parameters())
        self.for_critics = self.adam([value for network in self.networks for value in network.parameters()])
        self.for_actor = self.adam([*self.actor.parameters(), self.log_scale])
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.for_actor, 1_000_000)

    def update(self):
        obs, action, reward, after, done = self.sample()
        pair = torch.cat([obs, action], 1)
        with torch.no_grad():
            next_value = self.value(after).squeeze(-1)
            target = torch.min(*(network(pair).squeeze(-1) for network in self.targets))
        advantage = target - self.value(obs).squeeze(-1)
        value_loss = (torch.abs(0.7 - (advantage < 0).float()) * advantage**2).mean()
        self.descend(self.for_value, value_loss)
        backup = reward + (1 - done) * 0.99 * next_value
        guesses = [network(pair).squeeze(-1) for network in self.networks]
        critic_loss = sum(functional.mse_loss(guess, backup) for guess in guesses) / 2
        self.descend(self.for_critics, critic_loss)
        self.follow(self.targets, self.networks)
        weight = torch.exp(3.0 * advantage.detach()).clamp(max=100.0)
        policy = torch.distributions.Normal(self.actor(obs), self.log_scale.clamp(-20, 2).exp())
        actor_loss = (weight * -policy.log_prob(action).sum(-1)).mean()
        self.descend(self.for_actor, actor_loss)
        self.schedule.step()
        return {"value": value_loss.item(), "critic": critic_loss.item(), "actor": actor_loss.item()}


class SoftActorCritic(Loop):
    def build(self):
        self.networks, self.targets = self.critics()
        self.actor = perceptron(self.state, self.hidden, 2 * self.action)
        self.log_weight = nn.Parameter(torch.zeros(1))
        self.for_critics = self.adam([value for network in self.networks for value in network.parameters()])
        self.for_actor = self.adam(self.actor.parameters())
        self.for_weight = self.adam([self.log_weight])

    def act(self, obs):
        mean, log_scale = self.actor(obs).chunk(2, -1)
        normal = torch.distributions.Normal(mean, log_scale.clamp(-5, 2).exp())
        raw = normal.rsample()
        action = torch.tanh(raw)
        return action, (normal.log_prob(raw) - torch.log(1 - action**2 + 1e-6)).sum(-1)

    def update(self):
        obs, action, reward, after, done = self.sample()
        weight = self.log_weight.exp().detach()
        with torch.no_grad():
            next_action, next_log = self.act(after)
            pair = torch.cat([after, next_action], 1)
            asked = [self.targets[number] for number in np.random.choice(self.count, 2, replace=False)]
            least = torch.min(*(network(pair).squeeze(-1) for network in asked))
            backup = reward + (1 - done) * 0.99 * (least - weight * next_log)
        pair = torch.cat([obs, action], 1)
        critic_loss = sum(functional.mse_loss(network(pair).squeeze(-1), backup) for network in self.networks)
        self.descend(self.for_critics, critic_loss)
        chosen, log = self.act(obs)
        pair = torch.cat([obs, chosen], 1)
        values = torch.stack([network(pair).squeeze(-1) for network in self.networks])
        value = values.amin(0) if self.count == 2 else values.mean(0)
        actor_loss = (weight * log - value).mean()
        self.descend(self.for_actor, actor_loss)
        weight_loss = -(self.log_weight.exp() * (log.detach() - self.action)).mean()
        self.descend(self.for_weight, weight_loss)
        self.follow(self.targets, self.networks)
        return {"critic": critic_loss.item(), "actor": actor_loss.item(), "weight": weight_loss.item()}


def main():
    given = settings()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    loop = {"bc": Cloning, "iql": ImplicitQ, "sac": SoftActorCritic}[given["method"]](given)

    def step(count):
        for _ in range(count):
            loop.update()

    serve(timed(step), batch=given["batch"], parameters=loop.parameters())


main()
