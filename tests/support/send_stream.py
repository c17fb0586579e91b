"""A camera for tests: sends 25 fps to a URL, TIMES times, each time as soon as somebody listens.

python send_stream.py URL FRAMES TIMES
"""

from __future__ import annotations

import sys
import time

import av
import numpy as np

CONNECT_TIMEOUT_S = 10.0


def send(url: str, frames: int) -> None:
    name = "rtsp" if url.startswith("rtsp") else "mpegts"
    transport = {"rtsp_transport": "tcp"} if name == "rtsp" else {}
    with av.open(url, "w", format=name, options=transport) as container:
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
        begin = time.monotonic()
        for index in range(frames):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                np.frombuffer(plane, np.uint8)[:] = 40 + index % 100
            frame.pts = index
            container.mux(stream.encode(frame))
            time.sleep(max(begin + index / 25 - time.monotonic(), 0))
        container.mux(stream.encode(None))


def main() -> None:
    url, frames, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for _ in range(times):
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while True:
            try:
                send(url, frames)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


if __name__ == "__main__":
    main()
