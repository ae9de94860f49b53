"""Plays a WHEP endpoint with aiortc and reports what arrived.

    .venv/bin/python tests/clients/whep.py http://127.0.0.1:8080/whep/demo --token T --seconds 10

Lines of JSON: `playing` at the first frame, `progress` twice a second, `report` at the end.
Without --seconds it plays until its standard input is closed. `--joins 100` joins and leaves that
often instead, waiting for a video or audio frame each time.
"""

import argparse
import asyncio
import json
import sys
import time
import wave

from aiortc.mediastreams import MediaStreamError

import rtc
from analysis import Audio, Video, av_offset, latency
from rtc import Session, say


class Player:
    def __init__(self, args):
        self.args, self.video, self.audio = args, Video(), Audio()
        self.raw = {"video": [], "audio": []}
        self.started = time.monotonic()
        self.first, self.tasks, self.begun = {}, [], None
        self.last = {}
        self.ended = 0  # tracks that the sender has ended
        self.playing = asyncio.Event()
        self.wav = None
        self.languages, self.cues = [], []

    def _write(self, frame):
        """Stores the received audio."""
        if self.wav is None:
            self.wav = wave.open(self.args.wav, "wb")
            self.wav.setparams((frame.layout.nb_channels, 2, frame.sample_rate, 0, "NONE", None))
        self.wav.writeframes(frame.to_ndarray().tobytes())

    async def play(self):
        self.session = Session(self.args.url, self.args.token, self.args.only_ipv6)
        pc = self.session.pc
        pc.on("track", self._on_track)
        if self.args.quality and not self.args.by_link:
            self._choose(pc.createDataChannel("quality"))
        if self.args.captions:
            self._read_captions(pc.createDataChannel("captions", protocol="auralink-captions"))
        self.receivers = {}
        for kind in ("video", "audio"):
            transceiver = pc.addTransceiver(kind, direction="recvonly")
            if kind == "video" and self.args.codec:
                rtc.codec_only(transceiver, "video", self.args.codec)
            self.receivers[kind] = transceiver.receiver
        self.answer = await self.session.negotiate()
        self.connected_ms = (time.monotonic() - self.started) * 1000
        if self.args.by_link:
            self.tasks.append(asyncio.ensure_future(self._choose_by_link()))

    async def _choose_by_link(self):
        """Asks for each quality by a request, and says what is answered."""
        await self.playing.wait()
        said = await asyncio.to_thread(self.session.layer)
        say("quality", **said)
        for quality in self.args.quality.split(","):
            await asyncio.sleep(4)
            say("quality", **await asyncio.to_thread(self.session.layer, quality))

    def _choose(self, channel):
        """Asks for each quality, one after the other, and says what is told of them."""

        @channel.on("message")
        def told(text):
            say("quality", **json.loads(text))

        async def ask():
            await self.playing.wait()
            for quality in self.args.quality.split(","):
                await asyncio.sleep(4)
                channel.send(json.dumps({"quality": quality}))

        self.tasks.append(asyncio.ensure_future(ask()))

    def _read_captions(self, channel):
        @channel.on("message")
        def told(text):
            message = json.loads(text)
            if message["type"] == "hello":
                self.languages = [language["tag"] for language in message["languages"]]
            else:
                self.cues.append(message)

    def _on_track(self, track):
        self.tasks.append(asyncio.ensure_future(self._receive(track)))

    async def _receive(self, track):
        rate = 90000 if track.kind == "video" else 48000
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                self.ended += 1
                return
            arrival = time.time()
            if track.kind not in self.first:
                self.first[track.kind] = (time.monotonic() - self.started) * 1000
                self.begun = self.begun or time.monotonic()
                self.playing.set()
            # Frames before the first sender report have no sender time yet: their own timestamps
            # are kept, and the report gives the offset of each track at the end.
            due = self._unwrapped(track.kind, frame.pts) / rate
            # A viewer that joins gets the frames since the last key frame compressed in time:
            # measures only what follows.
            if time.monotonic() - self.begun < self.args.skip:
                continue
            if track.kind == "video":
                self.video.add(frame, due, arrival)
            else:
                self.audio.add(frame, due)
                if self.args.wav:
                    self._write(frame)

    def _unwrapped(self, kind, pts):
        """Undoes aiortc's mistake of treating a step back in time as a wrap of a 32-bit counter."""
        last = self.last.get(kind, pts)
        self.last[kind] = last + (pts - last + 2**31) % 2**32 - 2**31
        return self.last[kind]

    def _sender_times(self, kind, dues):
        rate = 90000 if kind == "video" else 48000
        receiver = self.receivers[kind]
        times = (rtc.sender_time(receiver, round(due * rate), rate) for due in dues)
        return [t for t in times if t is not None]

    def report(self):
        flashes = self._sender_times("video", self.video.flashes)
        beeps = self._sender_times("audio", self.audio.beeps)
        frames = self._sender_times("video", self.video.times)
        codecs = [line for line in self.answer.splitlines() if line.startswith("a=rtpmap")]
        say(
            "report",
            first_ms=self.first,
            connected_ms=self.connected_ms,
            codecs=codecs,
            state=self.session.pc.connectionState,
            video=self.video.report(),
            audio=self.audio.report(),
            av=av_offset(flashes, beeps),
            # Against the sender's clock, which is ours on the same machine: by flashes, and for
            # every frame.
            flash_latency_ms=latency(flashes, self.video.flash_arrivals),
            frame_latency_ms=latency(frames, self.video.arrivals),
            flash_sender_times=flashes,
            beep_sender_times=beeps,
            flash_arrivals=self.video.flash_arrivals,
        )

    async def progress(self):
        while True:
            await asyncio.sleep(0.5)
            say(
                "progress",
                frames=len(self.video.times),
                audio_frames=self.audio.frames,
                energy=self.audio.energy,
                luma=self.video.luma,
                sizes=self.video.sizes,
                state=self.session.pc.connectionState,
                ended=self.ended,
                languages=self.languages,
                cues=self.cues,
            )

    async def close(self):
        for task in self.tasks:
            task.cancel()
        for receiver in self.receivers.values():
            rtc.forget(receiver)
        await self.session.close()
        if self.wav:
            self.wav.close()


async def admitted(args):
    """An admitted player; retries for `--wait` seconds while nothing is published."""
    until = time.monotonic() + args.wait
    while True:
        player = Player(args)
        try:
            await player.play()
            return player
        except rtc.Refused:
            await player.close()
            if time.monotonic() > until:
                raise
        await asyncio.sleep(0.2)


async def watch(args):
    player = await admitted(args)
    try:
        await asyncio.wait_for(player.playing.wait(), args.patience)
        say("playing", connected_ms=player.connected_ms, first_ms=player.first)
        ticker = asyncio.ensure_future(player.progress())
        await rtc.until_told(args.seconds)
        ticker.cancel()
        player.report()
    finally:
        await player.close()


async def joins(args):
    """Joins and leaves, `--parallel` at a time."""
    left, done, slowest = args.joins, 0, 0.0

    async def one_after_the_other():
        nonlocal left, done, slowest
        while left > 0:
            left -= 1
            player = Player(args)
            await player.play()
            try:
                await asyncio.wait_for(player.playing.wait(), args.patience)
                slowest = max(slowest, *player.first.values())
            finally:
                await player.close()
            done += 1

    await asyncio.gather(*(one_after_the_other() for _ in range(args.parallel)))
    say("report", joins=done, slowest_first_ms=slowest)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--token")
    parser.add_argument("--codec", help="offer only this video codec: vp8, h264")
    parser.add_argument("--captions", action="store_true", help="open the data channel of captions")
    parser.add_argument("--only-ipv6", action="store_true", help="leave out the other addresses of the appliance")
    parser.add_argument("--quality", help="ask for these, every four seconds: 480p,source")
    parser.add_argument("--by-link", action="store_true", help="by requests to the Link of the answer, not by a data channel")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--skip", type=float, default=1, help="seconds left out of the figures")
    parser.add_argument("--wait", type=float, default=0, help="ask again for so long, seconds")
    parser.add_argument("--patience", type=float, default=15, help="wait so long for a picture")
    parser.add_argument("--wav", help="write what is heard to this file")
    parser.add_argument("--joins", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=1)
    args = parser.parse_args()
    try:
        asyncio.run(joins(args) if args.joins else watch(args))
    except rtc.Refused as refusal:
        say("refused", status=refusal.status, body=refusal.body)
        sys.exit(3)
    except (asyncio.TimeoutError, ConnectionError, OSError) as error:
        say("failed", error=f"{type(error).__name__}: {error}")
        sys.exit(4)


if __name__ == "__main__":
    main()
