"""Video files: streamed decoding into rows, streamed encoding. Needs PyAV, which is imported only when it is used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import UserError, missing_extra

THREADS = 2


@dataclass(frozen=True)
class Clip:
    """The frames of one episode inside a video file.

    Attributes:
        episode: its number, for messages.
        begin: seconds into the file.
        count: frames.
        row: where the first frame goes.
    """

    episode: int
    begin: float
    count: int
    row: int


def pyav() -> Any:
    """The module av.

    Raises:
        Missing: when it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise missing_extra("PyAV (for video)", "video") from error
    av.logging.set_level(av.logging.PANIC)
    return av


def decode(
    path: Path, clips: Sequence[Clip], fps: float, size: tuple[int, int], pixels: int | None, key: str
) -> Iterator[tuple[int, Array]]:
    """Frames of `clips` (sorted by begin, one after the other): yields (row, (height, width, 3) uint8).

    Every step k of a clip gets the frame whose time is nearest to begin + k / fps.

    Args:
        path: MP4 or anything else that FFmpeg reads.
        clips: what is wanted.
        fps: frames a second.
        size: (height, width) that the data set promises.
        pixels: resize to (pixels, pixels); None: as recorded.
        key: column, for messages.

    Raises:
        UserError: when the file is damaged, ends early or has frames of another size.
    """
    av = pyav()
    got = 0
    number, step, at = 0, 0, 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = THREADS
            side = (pixels, pixels) if pixels else size
            for frame in container.decode(stream):
                got += 1
                # A frame belongs to step round((time - begin) * fps); one that is nearest to no step is passed over.
                while number < len(clips):
                    clip = clips[number]
                    at = round((float(frame.time) - clip.begin) * fps)
                    if at < clip.count:
                        break
                    _expect(step == clip.count, path, key, clip, step, got)
                    number, step = number + 1, 0
                if number == len(clips):
                    break
                if at < step:
                    continue
                _expect(at == step, path, key, clips[number], step, got)
                if (frame.height, frame.width) != size:
                    raise UserError(
                        f"{path}: column '{key}', episode {clips[number].episode}: frames are "
                        f"{frame.height}x{frame.width} where meta/info.json says {size[0]}x{size[1]}: correct the "
                        "shape there, or copy the file again"
                    )
                yield clips[number].row + step, _pixels(frame, side)
                step += 1
    except (av.FFmpegError, IndexError) as error:
        episode = clips[min(number, len(clips) - 1)].episode
        raise UserError(
            f"{path}: damaged or truncated video (column '{key}', episode {episode}, frame {step}): "
            "copy it again, or leave that camera out"
        ) from error
    for clip in clips[number:]:
        _expect(step == clip.count, path, key, clip, step, got)
        step = 0


def size_of(path: Path, key: str) -> tuple[int, int]:
    """(height, width) of a video file's frames."""
    av = pyav()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return int(stream.height), int(stream.width)
    except (av.FFmpegError, IndexError) as error:
        raise UserError(f"{path}: damaged video (column '{key}'): copy it again, or leave that camera out") from error


def _pixels(frame: Any, size: tuple[int, int]) -> Array:
    same = (frame.height, frame.width) == size
    resized = frame.reformat(
        height=size[0], width=size[1], format="rgb24", interpolation="BILINEAR" if same else "AREA"
    )
    return resized.to_ndarray()


def _expect(holds: bool, path: Path, key: str, clip: Clip, step: int, got: int) -> None:
    if not holds:
        raise UserError(
            f"{path}: column '{key}', episode {clip.episode}: no frame for step {step} of {clip.count} "
            f"({got} frames could be read): copy the file again, or leave that camera out"
        )


Codec = Literal["libsvtav1", "h264"]


def choose_codec(height: int, width: int) -> Codec:
    """AV1 where this PyAV can write it (it needs sides of at least 64 pixels), else H.264."""
    av = pyav()
    return "libsvtav1" if "libsvtav1" in av.codecs_available and min(height, width) >= 64 else "h264"


class Encoder:
    """Writes frames into an MP4 file, a key frame every second frame so that single frames are found fast.

    Args:
        path: of the file.
        fps: frames a second.
        height, width: of a frame; even.
        codec: libsvtav1 or h264.
        crf: constant rate factor; smaller is better and larger in bytes.

    Attributes:
        count: frames written.
        bytes: encoded so far.
    """

    def __init__(self, path: Path, fps: int, height: int, width: int, codec: Codec, crf: int = 23) -> None:
        self._av = pyav()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.count, self.bytes = path, 0, 0
        os.environ.setdefault("SVT_LOG", "1")  # that encoder prints its settings otherwise
        self._container = self._av.open(str(path), "w")
        options = {"g": "2", "crf": str(crf)} | ({"preset": "8", "svtav1-params": "lp=2"} if codec != "h264" else {})
        self._stream = self._container.add_stream(codec, rate=fps, options=options)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"

    def write(self, frames: Array) -> None:
        """frames: (n, height, width, 3) uint8."""
        for image in frames:
            frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = self.count
            self._mux(self._stream.encode(frame))
            self.count += 1

    def close(self) -> None:
        self._mux(self._stream.encode())
        self._container.close()

    def _mux(self, packets: Any) -> None:
        self.bytes += sum(packet.size for packet in packets)
        self._container.mux(packets)
