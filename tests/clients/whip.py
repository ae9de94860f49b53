"""Publishes to a WHIP endpoint with aiortc: a flash and a beep at each full second of the wall
clock, so that a viewer on the same machine can measure the latency.

    .venv/bin/python tests/clients/whip.py http://127.0.0.1:8080/whip/demo --token T --seconds 10

Lines of JSON: `publishing` once connected, `report` at the end. Without --seconds it publishes
until its standard input is closed. `--joins 100` connects and disconnects that often instead.
"""

import argparse
import asyncio
import fractions
import math
import sys
import time

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

import rtc
from rtc import Session, say

FPS = 30
RATE = 48000
PACKET = RATE // 50
FLASH_S = 0.1


def lit(at):
    return at % 1.0 < FLASH_S - 0.001


class Clocked(MediaStreamTrack):
    """A track whose n-th frame is due at `start + n * step` and made at that moment."""

    def __init__(self, start, step):
        super().__init__()
        self.start, self.step, self.count = start, step, 0

    async def due(self):
        if self.readyState != "live":
            raise MediaStreamError
        at = self.start + self.count * self.step
        await asyncio.sleep(max(0.0, at - time.time()))
        self.count += 1
        return at


class Picture(Clocked):
    kind = "video"

    def __init__(self, start, width, height):
        super().__init__(start, 1 / FPS)
        noise = np.random.default_rng(1)
        dark = noise.integers(30, 90, (4, height * 3 // 2, width), np.uint8)
        dark[:, height:] = 128
        white = np.full((height * 3 // 2, width), 235, np.uint8)
        white[height:] = 128
        self.dark, self.white = dark, white

    async def recv(self):
        at = await self.due()
        picture = self.white if lit(at) else self.dark[self.count // 5 % 4]
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = round((at - self.start) * 90000)
        frame.time_base = fractions.Fraction(1, 90000)
        return frame


class Sound(Clocked):
    kind = "audio"

    def __init__(self, start):
        super().__init__(start, PACKET / RATE)
        tone = [math.sin(2 * math.pi * 1000 * n / RATE) * 0.5 for n in range(PACKET)]
        self.tone = (np.array([tone]) * 32767).astype(np.int16)

    async def recv(self):
        at = await self.due()
        samples = self.tone if lit(at) else np.zeros_like(self.tone)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = round((at - self.start) * RATE)
        frame.time_base = fractions.Fraction(1, RATE)
        return frame


async def publish(args):
    session = Session(args.url, args.token)
    start = math.ceil(time.time()) - args.behind
    width, height = (int(n) for n in args.size.split("x"))
    picture = session.pc.addTransceiver(Picture(start, width, height), direction="sendonly")
    if args.codec:
        rtc.codec_only(picture, "video", args.codec)
    session.pc.addTransceiver(Sound(start), direction="sendonly")
    await session.negotiate()
    return session


async def once(args):
    began = time.monotonic()
    session = await publish(args)
    try:
        say("publishing", connected_ms=(time.monotonic() - began) * 1000)
        await rtc.until_told(args.seconds)
        say("report", state=session.pc.connectionState)
    finally:
        await session.close()


async def joins(args):
    for _ in range(args.joins):
        session = await publish(args)
        await asyncio.sleep(args.stay)
        await session.close()
    say("report", joins=args.joins)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--token")
    parser.add_argument("--codec", help="offer only this video codec: vp8, h264")
    parser.add_argument("--size", default="320x240")
    parser.add_argument(
        "--behind", type=int, default=0, help="what was due in so many seconds is sent at once"
    )
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--joins", type=int, default=0)
    parser.add_argument("--stay", type=float, default=0.2, help="of each join, seconds")
    args = parser.parse_args()
    try:
        asyncio.run(joins(args) if args.joins else once(args))
    except rtc.Refused as refusal:
        say("refused", status=refusal.status, body=refusal.body)
        sys.exit(3)
    except (asyncio.TimeoutError, ConnectionError, OSError) as error:
        say("failed", error=f"{type(error).__name__}: {error}")
        sys.exit(4)


if __name__ == "__main__":
    main()
