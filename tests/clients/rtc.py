"""A WHIP or WHEP session over aiortc, and other code shared by the two clients."""

import asyncio
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc import rtcrtpreceiver
from aiortc.rtp import RtcpSrPacket

NTP_EPOCH_S = 2208988800  # seconds between 1900 and 1970


def say(event, **facts):
    """Prints one line of JSON per event; the test waits for these lines."""
    print(json.dumps({"event": event, **facts}), flush=True)


class Refused(Exception):
    """The server refused the request."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


def request(method, url, token, body=None, content_type="application/sdp"):
    """Returns status, headers, body and the address that answered: one answer 307 is followed, and the
    token is not shown to another host, as browsers do."""
    headers = {"Content-Type": content_type} if body is not None else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = body.encode() if body is not None else None
    call = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(call, timeout=20) as answer:
            return answer.status, answer.headers, answer.read().decode(), url
    except urllib.error.HTTPError as error:
        if error.code == 307 and "redirect=no" not in url:
            there = urllib.parse.urljoin(url, error.headers["Location"])
            origins = {urllib.parse.urlsplit(address)[:2] for address in (url, there)}
            return request(method, there, token if len(origins) == 1 else None, body, content_type)
        raise Refused(error.code, error.read().decode()) from None


class Session:
    """One peer connection negotiated by a POST and ended by a DELETE (RFC 9725)."""

    def __init__(self, url, token, only_ipv6=False):
        self.url, self.token, self.only_ipv6 = url, token, only_ipv6
        # No ICE servers: everything happens on this machine.
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.resource, self.links = None, ""
        # An event, not a future with the error, which would stay unawaited if the server refuses.
        self.settled = asyncio.Event()
        self.pc.on("connectionstatechange", self._on_state)

    def _on_state(self):
        if self.pc.connectionState in ("connected", "failed", "closed"):
            self.settled.set()

    async def negotiate(self):
        """Connects and returns the answer; what is not let in is closed."""
        try:
            return await self._negotiate()
        except BaseException:
            await self.close()
            raise

    async def _negotiate(self):
        await self.pc.setLocalDescription(await self.pc.createOffer())
        offer = self.pc.localDescription.sdp
        status, headers, answer, self.url = await asyncio.to_thread(
            request, "POST", self.url, self.token, offer
        )
        if status != 201:
            raise Refused(status, answer)
        self.resource = urllib.parse.urljoin(self.url, headers["Location"])
        self.links = ", ".join(headers.get_all("Link", []))
        if self.only_ipv6:
            answer = re.sub(r"a=candidate:(?!.*:[\da-f]*:).*\r\n", "", answer)
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await asyncio.wait_for(self.settled.wait(), 15)
        if self.pc.connectionState != "connected":
            raise ConnectionError(f"the connection {self.pc.connectionState}")
        return answer

    def layer(self, quality=None):
        """Chooses a quality, or asks which there are (urn:ietf:params:whep:ext:core:layer)."""
        link = re.search(r"<([^>]*)>; *rel=\"urn:ietf:params:whep:ext:core:layer\"", self.links)
        url = urllib.parse.urljoin(self.url, link[1])
        body = None if quality is None else json.dumps({"encodingId": quality})
        try:
            method = "GET" if body is None else "POST"
            return json.loads(request(method, url, None, body, "application/json")[2])
        except Refused as refused:
            return {"error": str(refused)}

    async def close(self):
        resource, self.resource = self.resource, None
        if resource:
            try:
                await asyncio.to_thread(request, "DELETE", resource, self.token)
            except (Refused, OSError):
                pass  # the server is gone, or has ended the session itself
        await self.pc.close()


def codec_only(pc_or_transceiver, kind, codec):
    """Offers only one codec, with its retransmissions."""
    from aiortc import RTCRtpReceiver

    wanted = [
        c
        for c in RTCRtpReceiver.getCapabilities(kind).codecs
        if re.fullmatch(rf"{kind}/({codec}|rtx)", c.mimeType, re.IGNORECASE)
    ]
    pc_or_transceiver.setCodecPreferences(wanted)


class _Mapper(rtcrtpreceiver.TimestampMapper):
    """aiortc timestamps begin at zero; remembers which RTP timestamp is zero."""

    def __init__(self):
        super().__init__()
        self.origin = None

    def map(self, timestamp):
        mapped = super().map(timestamp)
        if self.origin is None:
            self.origin = timestamp - mapped
        return mapped


rtcrtpreceiver.TimestampMapper = _Mapper
_reports = {}  # receiver → (NTP seconds, RTP timestamp) of its newest sender report
_handle = rtcrtpreceiver.RTCRtpReceiver._handle_rtcp_packet


async def _remember_report(self, packet):
    if isinstance(packet, RtcpSrPacket):
        ntp = packet.sender_info.ntp_timestamp / 2**32 - NTP_EPOCH_S
        _reports[self] = (ntp, packet.sender_info.rtp_timestamp)
    await _handle(self, packet)


rtcrtpreceiver.RTCRtpReceiver._handle_rtcp_packet = _remember_report


def sender_time(receiver, pts, clock_rate):
    """When a frame was made (Unix seconds), by the sender's reports (RFC 3550 6.4.1).
    None before the first report."""
    report = _reports.get(receiver)
    mapper = receiver._RTCRtpReceiver__timestamp_mapper
    if report is None or mapper.origin is None:
        return None
    ntp, rtp = report
    ticks = (pts + mapper.origin - rtp + 2**31) % 2**32 - 2**31
    return ntp + ticks / clock_rate


def forget(receiver):
    _reports.pop(receiver, None)


async def until_told(seconds):
    """Returns after `seconds`; if zero, when standard input is closed."""
    if seconds:
        await asyncio.sleep(seconds)
    else:
        await asyncio.to_thread(sys.stdin.read)
