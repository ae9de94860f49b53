"""Serves a file as an RTSP camera would, by GStreamer's RTSP server, to everybody who asks.

    /usr/bin/python3 tests/clients/rtsp.py PORT clip.mp4

The file has H.264 and AAC in MP4. A line of JSON, `serving`, once the port is open; it ends when its
standard input is closed.
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

LAUNCH = (
    "( filesrc location={} ! qtdemux name=in "
    "in.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 "
    "in.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"
)


def main():
    port, file = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer(service=port, address="127.0.0.1")
    factory = GstRtspServer.RTSPMediaFactory(launch=LAUNCH.format(file))
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    print(json.dumps({"event": "serving"}), flush=True)
    loop = GLib.MainLoop()
    GLib.io_add_watch(sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IO_HUP, lambda *_: loop.quit())
    loop.run()


if __name__ == "__main__":
    main()
