"""An RTSP camera, by GStreamer's RTSP server: H.264 and AAC in MPEG4-GENERIC, as most cameras send it.

    /usr/bin/python3 tests/clients/rtsp.py [PORT] [FILE]

Without FILE it sends a live test pattern, the same to all viewers, and at a second address the same
with audio in two languages. An MP4 file with H.264 and AAC is sent to each viewer from its start.
Needs python3-gi and gir1.2-gst-rtsp-server-1.0 of Debian.

Lines of JSON: `serving` with the addresses; ends with a `report` when its standard input is closed.
"""

import argparse
import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PATTERN = (
    "( videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph264pay name=pay0 pt=96"
    " audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! avenc_aac"
    " ! rtpmp4gpay name=pay1 pt=97 )"
)

# The same with two audio tracks, each with its language (`a=lang`).
LANGUAGES = (
    "( videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph264pay name=pay0 pt=96"
    " audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! avenc_aac"
    " ! rtpmp4gpay pt=97 ! capssetter name=pay1 caps=application/x-rtp,a-lang=en"
    " audiotestsrc is-live=true freq=880 ! audio/x-raw,rate=48000,channels=2 ! opusenc"
    " ! rtpopuspay pt=98 ! capssetter name=pay2 caps=application/x-rtp,a-lang=de )"
)

CLIP = (
    "( filesrc location={} ! qtdemux name=in"
    " in.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1"
    " in.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"
)


def say(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


def serve(args):
    camera = CLIP.format(args.file) if args.file else PATTERN
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=args.port)
    for path, launch in (("/camera", camera), ("/languages", LANGUAGES)):
        shared = launch != camera or args.file is None
        factory = GstRtspServer.RTSPMediaFactory(launch=launch, shared=shared)
        server.get_mount_points().add_factory(path, factory)
    if server.attach(None) == 0:
        say("failed", error=f"port {args.port} cannot be opened")
        sys.exit(4)
    base = f"rtsp://127.0.0.1:{server.get_bound_port()}"
    say("serving", url=f"{base}/camera", languages=f"{base}/languages")
    loop = GLib.MainLoop()

    def until_told():
        sys.stdin.read()
        GLib.idle_add(loop.quit)

    threading.Thread(target=until_told, daemon=True).start()
    loop.run()
    say("report")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", nargs="?", default="0", help="0, the default: a free one")
    parser.add_argument("file", nargs="?", help="an MP4 file with H.264 and AAC")
    args = parser.parse_args()
    Gst.init(None)
    serve(args)


if __name__ == "__main__":
    main()
