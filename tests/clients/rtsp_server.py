"""An RTSP camera on a free port: H.264 and AAC in MPEG4-GENERIC, as most cameras send it.

    /usr/bin/python3 tests/clients/rtsp_server.py

Needs python3-gi and gir1.2-gst-rtsp-server-1.0 of Debian. Lines of JSON: `serving` with the address;
it ends when its standard input is closed, with a `report`.
"""

import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

CAMERA = (
    "( videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph264pay name=pay0 pt=96"
    " audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! avenc_aac"
    " ! rtpmp4gpay name=pay1 pt=97 )"
)


def say(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


def main():
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(CAMERA)
    factory.set_shared(True)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    say("serving", url=f"rtsp://127.0.0.1:{server.get_bound_port()}/camera")
    loop = GLib.MainLoop()

    def until_told():
        sys.stdin.read()
        GLib.idle_add(loop.quit)

    threading.Thread(target=until_told, daemon=True).start()
    loop.run()
    say("report")


if __name__ == "__main__":
    main()
