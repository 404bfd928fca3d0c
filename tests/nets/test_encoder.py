"""Observation encoders: several cameras, any leading dimensions, angles and symbols."""

from __future__ import annotations

import math

import pytest
import torch

from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.nets.encoder import NumberEncoder, ObsEncoder, ObsTokens
from imitari.nets.vision import ConvTrunk, ImageEncoder, SpatialSoftmax, centre_crop, random_crop


def camera(side: int = 32) -> Feature:
    return Feature((side, side, 3), "uint8", "image")


SPEC = Spec({"observation.state": Feature((3,)), "left": camera(), "right": camera(40), "effort": Feature(())})


def observation(*lead: int) -> dict[str, torch.Tensor]:
    return {
        "observation.state": torch.randn(*lead, 3),
        "left": torch.randint(0, 256, (*lead, 32, 32, 3), dtype=torch.uint8),
        "right": torch.randint(0, 256, (*lead, 40, 40, 3), dtype=torch.uint8),
        "effort": torch.randn(lead),
    }


@pytest.mark.parametrize("lead", [(), (4,), (4, 2)])
def test_every_step_is_encoded_on_its_own_whatever_the_leading_dimensions(lead: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder, obs = ObsEncoder(SPEC).eval(), observation(*lead)
    out = encoder(obs)
    assert out.shape == (*lead, encoder.width)
    last = tuple(size - 1 for size in lead)
    alone = encoder({key: value[last].unsqueeze(0) for key, value in obs.items()})[0]
    assert torch.allclose(out[last], alone, atol=1e-5)


def test_each_camera_changes_only_its_own_features() -> None:
    torch.manual_seed(0)
    encoder, obs = ObsEncoder(SPEC, image_width=8).eval(), observation(2)
    before, after = encoder(obs), encoder({**obs, "right": 255 - obs["right"]})
    changed = (before != after).any(0)
    assert changed[-8:].any()
    assert not changed[:-8].any()


def test_angles_are_seen_as_points_on_the_circle() -> None:
    encoder = NumberEncoder(Spec({"pose": Feature((3,), periodic=(2,))}))
    low, high = (torch.tensor([[1.0, 2.0, angle]]) for angle in (0.1, 0.1 + 2 * math.pi))
    expected = torch.tensor([[1.0, 2.0, math.sin(0.1), math.cos(0.1)]])
    assert torch.allclose(encoder({"pose": low}), expected)
    assert torch.allclose(encoder({"pose": high}), expected, atol=1e-5)


def test_bounded_symbols_become_indicators_and_unbounded_ones_stay_numbers() -> None:
    spec = Spec({"cell": Feature((2,), "int64", "symbol", high=(2.0, 1.0)), "room": Feature((), "int64", "symbol")})
    encoder = NumberEncoder(spec)
    out = encoder({"cell": torch.tensor([[1, 0], [2, 1]]), "room": torch.tensor([7, 9])})
    assert out.tolist() == [[0, 1, 0, 1, 0, 7], [0, 0, 1, 0, 1, 9]]


def test_tokens_of_all_cameras_and_steps() -> None:
    torch.manual_seed(0)
    tokens, obs = ObsTokens(SPEC, 16, history=2).eval(), observation(3, 2)
    out = tokens(obs)
    cells = sum(math.prod(ConvTrunk((side, side, 3)).grid) for side in (32, 40))
    assert tokens.count == 2 * (1 + cells)
    assert out.shape == (3, tokens.count, 16)
    obs["left"][:, 1] = 0
    changed = (tokens(obs) != out).flatten(2).any(2).any(0)
    assert not changed[: tokens.count // 2].any()  # the older step did not change
    assert changed[tokens.count // 2 :].any()


@pytest.mark.parametrize("side", [7, 24, 64, 96])
def test_the_grid_is_what_the_trunk_gives(side: int) -> None:
    trunk = ConvTrunk((side, side, 3)).eval()
    assert trunk(torch.zeros(1, side, side, 3, dtype=torch.uint8)).shape[2:] == trunk.grid


def test_crops_differ_in_training_and_are_central_in_evaluation() -> None:
    torch.manual_seed(0)
    place = torch.arange(64, dtype=torch.uint8).view(1, 8, 8, 1).expand(50, -1, -1, -1)
    crops = random_crop(place, (6, 6))
    corners = crops[:, 0, 0, 0]
    assert set(corners.tolist()) == {row * 8 + column for row in range(3) for column in range(3)}
    assert (crops[:, 5, 5, 0] == corners + 5 * 9).all()  # a crop is a connected piece
    assert (centre_crop(place, (6, 6))[:, 0, 0, 0] == 9).all()
    image = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    encoder = ImageEncoder((32, 32, 3), 4)
    assert len({tuple(encoder(image)[0].tolist()) for _ in range(20)}) > 1
    encoder.eval()
    assert torch.equal(encoder(image), encoder(image))


def test_spatial_softmax_finds_a_peak() -> None:
    x = torch.zeros(1, 1, 5, 9)
    x[0, 0, 1, 6] = 100.0
    assert torch.allclose(SpatialSoftmax()(x), torch.tensor([[-0.5, 0.5]]))


def test_bfloat16_changes_little() -> None:
    torch.manual_seed(0)
    encoder, obs = ObsEncoder(SPEC).eval(), observation(4)
    with torch.no_grad():
        exact = encoder(obs)
        with torch.autocast("cpu", torch.bfloat16):
            rough = encoder(obs)
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()


def test_nothing_to_see_is_refused() -> None:
    with pytest.raises(UserError, match="no number or image"):
        ObsEncoder(Spec({"instruction": Feature((), "object", "text")}))
