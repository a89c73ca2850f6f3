"""How faithful stored frames are, on real broadcast tennis: the resize, and the JPEG's colour resolution.

    python -m benchmarks.fidelity [SHARED_FOLDER]

Prints PSNR (dB, over all frames of game2) of `resize_frame` and of plain bilinear sampling against PIL's
antialiased filters, which the Hugging Face processors use, at 512x288; and of stored JPEGs of quality 95 with
halved (4:2:0) and full (4:4:4) colour, over the whole picture and in a 9x9 patch around the ball.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipelines.sources import read_source
from tracknet.utils.geometry import Size, scaling, transform_points
from tracknet.utils.images import decode_image, encode_jpeg, read_image, resize_frame

SIZE = Size(512, 288)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255.0**2 / error))


def with_halved_colour(image: np.ndarray) -> bytes:
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        95,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def main() -> None:
    default = os.environ.get("TRACKNET_SHARED", Path(__file__).resolve().parents[2] / "shared")
    shared = Path(sys.argv[1] if len(sys.argv) > 1 else default)
    clips = read_source(shared / "data" / "tennis", "error").clips
    figures: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    for clip in clips:
        to_stored = scaling(clip.frame_size, SIZE)
        for label in clip.frames if clip.game == "game2" else ():
            frame = read_image(label.path)
            stored = resize_frame(frame, SIZE)
            plain = cv2.resize(frame, SIZE, interpolation=cv2.INTER_LINEAR)
            for name in ("BILINEAR", "BICUBIC"):
                reference = np.asarray(Image.fromarray(frame).resize(SIZE, Image.Resampling[name]))
                note(f"resize_frame against PIL {name}, dB", psnr(stored, reference))
                note(f"plain bilinear against PIL {name}, dB", psnr(plain, reference))
            for name, data in (("4:2:0", with_halved_colour(stored)), ("4:4:4", encode_jpeg(stored, 95))):
                decoded = decode_image(data)
                note(f"JPEG {name}, KB a frame", len(data) / 1000)
                note(f"JPEG {name}, whole picture, dB", psnr(decoded, stored))
                if label.xy_px is not None:
                    x, y = transform_points(to_stored, label.xy_px).round().astype(int)
                    around = np.s_[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5]
                    note(f"JPEG {name}, around the ball, dB", psnr(decoded[around], stored[around]))
    for name, values in figures.items():
        print(f"{name:42} mean {np.mean(values):6.2f}   worst {np.min(values):6.2f}")


if __name__ == "__main__":
    main()
