"""Measures a file or a URL that FFmpeg can open: frames, gaps, beeps against flashes.

    .venv/bin/python tests/clients/measure.py recording.mp4
    .venv/bin/python tests/clients/measure.py http://127.0.0.1:8080/hls/demo/index.m3u8 --seconds 10
"""

import argparse
import json

import av

from analysis import Audio, Video, av_offset


def measure(url, seconds, skip):
    video, audio, errors = Video(), Audio(), 0
    first = None
    with av.open(url, timeout=20) as container:
        streams = [s for s in container.streams if s.type in ("video", "audio")]
        codecs = {s.type: s.codec_context.name for s in streams}
        for packet in container.demux(streams):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                errors += 1
                continue
            for frame in frames:
                if frame.pts is None:
                    continue
                due = float(frame.pts * frame.time_base)
                first = due if first is None else first
                if due - first < skip:
                    continue
                if isinstance(frame, av.VideoFrame):
                    video.add(frame, due)
                else:
                    audio.add(frame, due)
            if seconds and first is not None and packet.pts is not None:
                if float(packet.pts * packet.time_base) - first > seconds:
                    break
    return {
        "event": "report",
        "codecs": codecs,
        "errors": errors,
        "video": video.report(),
        "audio": audio.report(),
        "av": av_offset(video.flashes, audio.beeps),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=0, help="stop after this much media")
    parser.add_argument("--skip", type=float, default=0, help="leave out the first seconds")
    args = parser.parse_args()
    print(json.dumps(measure(args.url, args.seconds, args.skip)))


if __name__ == "__main__":
    main()
