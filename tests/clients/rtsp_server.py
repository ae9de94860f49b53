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

# The same with a second sound, each with the language that it is in (`a=lang`).
LANGUAGES = (
    "( videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph264pay name=pay0 pt=96"
    " audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! avenc_aac"
    " ! rtpmp4gpay pt=97 ! capssetter name=pay1 caps=application/x-rtp,a-lang=en"
    " audiotestsrc is-live=true freq=880 ! audio/x-raw,rate=48000,channels=2 ! opusenc"
    " ! rtpopuspay pt=98 ! capssetter name=pay2 caps=application/x-rtp,a-lang=de )"
)


def say(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


def main():
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    for path, launch in (("/camera", CAMERA), ("/languages", LANGUAGES)):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch)
        factory.set_shared(True)
        server.get_mount_points().add_factory(path, factory)
    server.attach(None)
    base = f"rtsp://127.0.0.1:{server.get_bound_port()}"
    say("serving", url=f"{base}/camera", languages=f"{base}/languages")
    loop = GLib.MainLoop()

    def until_told():
        sys.stdin.read()
        GLib.idle_add(loop.quit)

    threading.Thread(target=until_told, daemon=True).start()
    loop.run()
    say("report")


if __name__ == "__main__":
    main()
