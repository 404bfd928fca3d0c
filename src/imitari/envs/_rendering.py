"""Small camera images of MuJoCo models by software rendering, one graphics context for all copies of a model."""

from __future__ import annotations

import contextlib
import ctypes.util
import importlib
import os
import platform
from typing import Any

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import Missing, UserError, missing_extra

COSTLY = ("mjRND_SHADOW", "mjRND_REFLECTION", "mjRND_SKYBOX")
LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}


def backend() -> str:
    """ "egl", "osmesa" or "glfw": what MUJOCO_GL says, else the first whose library is there.

    Raises:
        Missing: when no graphics library is installed; names the command that installs one.
    """
    wanted = os.environ.get("MUJOCO_GL", "").lower().strip()
    if wanted in ("disable", "disabled", "off", "false", "0"):
        raise Missing(
            "a graphics library", f"MUJOCO_GL={wanted} switches rendering off: unset it, or leave out --pixels"
        )
    if wanted in LIBRARIES and not ctypes.util.find_library(LIBRARIES[wanted]):
        raise Missing(f"the graphics library lib{LIBRARIES[wanted]}", _remedy((wanted,)))
    if wanted in (*LIBRARIES, "glfw", "cgl"):
        return wanted
    if platform.system() != "Linux":
        return "cgl" if platform.system() == "Darwin" else "glfw"
    for name, library in LIBRARIES.items():
        if ctypes.util.find_library(library):
            return name
    raise Missing("a graphics library for camera images", _remedy(tuple(LIBRARIES)))


def _remedy(names: tuple[str, ...]) -> str:
    commands = {"egl": "apt-get install libegl1 libgl1 libgl1-mesa-dri", "osmesa": "apt-get install libosmesa6"}
    return f"install one with: {' or: '.join(commands[name] for name in names)} (tasks without --pixels need none)"


def _context(side: int) -> Any:
    name = backend()
    try:
        context = importlib.import_module(f"mujoco.{name}").GLContext(side, side)
    except Exception as error:  # the bindings raise ImportError, AttributeError, RuntimeError or their own GLError
        raise Missing(f"a working '{name}' graphics library ({error})", _remedy(tuple(LIBRARIES))) from error
    context.make_current()
    return context


def import_mujoco() -> Any:
    """The mujoco package.

    Raises:
        Missing: when it is not installed, or when MUJOCO_GL names a graphics library that is not there.
    """
    if "MUJOCO_GL" not in os.environ:
        # Said before anyone imports a simulator: dm_control would otherwise choose for the whole process.
        with contextlib.suppress(Missing):
            os.environ["MUJOCO_GL"] = backend()
    try:
        return importlib.import_module("mujoco")
    except ImportError as error:
        raise missing_extra("mujoco", "sim") from error
    except AttributeError:  # how its OpenGL bindings say that the library is not there
        backend()
        raise


class Renderer:
    """Draws the state of any copy of one model.

    Shadows, reflections, sky and multisampling are off: that makes software rendering about 20 times faster.

    Args:
        model: mujoco.MjModel; its rendering quality settings are lowered.
        side: of the square images in pixels.
        turn: turn the image of a camera that is mounted upside down in the world by 180 degrees.
    """

    def __init__(self, model: Any, side: int, *, turn: bool = False) -> None:
        mujoco = import_mujoco()
        self.side, self.turn = side, turn
        model.vis.quality.offsamples = 0  # read once, when the context is made
        model.vis.quality.shadowsize = 0
        model.vis.global_.offwidth = model.vis.global_.offheight = side
        self._gl = _context(side)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=2000)
        for flag in COSTLY:
            self._scene.flags[getattr(mujoco.mjtRndFlag, flag)] = 0
        self._option, self._rectangle = mujoco.MjvOption(), mujoco.MjrRect(0, 0, side, side)

    def image(self, model: Any, data: Any, camera: str | int) -> Array:
        """uint8 (side, side, 3).

        Args:
            model: the model, or a copy of it.
            data: its state.
            camera: name or number of one of the model's cameras; -1: the free camera, looking at the whole model.

        Raises:
            UserError: when there is no such camera.
        """
        mujoco = import_mujoco()
        view = mujoco.MjvCamera()
        if camera == -1:
            mujoco.mjv_defaultFreeCamera(model, view)
        else:
            view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, camera_number(model, camera)
        self._gl.make_current()
        mujoco.mjv_updateScene(
            model, data, self._option, None, view, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )  # fmt: skip
        pixels = np.empty((self.side, self.side, 3), np.uint8)
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(pixels, None, self._rectangle, self._context)
        image = pixels[::-1]
        if self.turn and camera != -1 and self._upside_down(model, data, view.fixedcamid):
            image = image[::-1, ::-1]
        return np.ascontiguousarray(image)

    @staticmethod
    def _upside_down(model: Any, data: Any, number: int) -> bool:
        fixed_in_world = model.cam_bodyid[number] == 0
        return bool(fixed_in_world and data.cam_xmat[number].reshape(3, 3)[2, 1] < -0.1)

    def close(self) -> None:
        self._context.free()
        self._gl.free()


def camera_number(model: Any, camera: str | int) -> int:
    """The number of a camera.

    Raises:
        UserError: when the model has none of that name; lists those it has.
    """
    names = [model.camera(number).name for number in range(model.ncam)]
    if isinstance(camera, int) and 0 <= camera < len(names):
        return camera
    if camera not in names:
        raise UserError(f"there is no camera '{camera}': choose from {', '.join(names) or 'none'}")
    return names.index(str(camera))
