"""Publishes a file in real time without re-encoding, by PyAV's own FFmpeg, which writes Enhanced
RTMP (HEVC, AV1, VP9, Opus); Debian's does not.

    .venv/bin/python tests/clients/remux.py clip.mkv "rtmp://127.0.0.1:1935/live/x?token=T"

Lines of JSON: `report` at the end, `failed` if the server disconnects before.
"""

import argparse
import json
import time

import av


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("url")
    args = parser.parse_args()
    packets = 0
    try:
        with av.open(args.file) as source, av.open(args.url, "w", format="flv") as target:
            tracks = {s.index: target.add_stream_from_template(s, opaque=True) for s in source.streams}
            start, first = time.monotonic(), None
            for packet in source.demux():
                if packet.dts is None:
                    continue
                due = float(packet.dts * packet.time_base)
                first = due if first is None else first
                time.sleep(max(0.0, due - first - (time.monotonic() - start)))
                packet.stream = tracks[packet.stream.index]
                target.mux(packet)
                packets += 1
    except (av.FFmpegError, OSError) as error:
        print(json.dumps({"event": "failed", "packets": packets, "error": str(error)}), flush=True)
        return
    print(json.dumps({"event": "report", "packets": packets}), flush=True)


if __name__ == "__main__":
    main()
