"""A bad line between two network namespaces, with given bandwidth, delay, jitter, loss and queue.

    sudo .venv/bin/python tests/clients/link.py aic     # makes the namespaces aic-a and aic-b
    ip netns exec aic-a ping 10.77.0.2

Works like netem, without its kernel module, which many machines lack: each namespace has a TUN
device, and this program carries the packets between the two. Each namespace also has an ordinary
`veth` to the outside, by which a test reaches programs inside; it does not connect the namespaces.

Reads lines of JSON; each changes the line from then on (missing keys stay unchanged):
`{"kbps": 300, "delay_ms": 50, "jitter_ms": 5, "loss": 0.05, "queue_ms": 200}`, all for each
direction. `{"report": true}` returns the traffic since the last report. The namespaces are removed
when its input ends.
"""

import argparse
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MTU = 1500


def ip(*args, netns=None):
    inside = ["ip", "netns", "exec", netns] if netns else []
    subprocess.run([*inside, "ip", *args], check=True)


def enter(namespace):
    # os.setns comes with Python 3.12 only.
    if LIBC.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def open_tun(netns, address):
    """A TUN device inside a namespace. The descriptor stays usable from outside."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    enter(there)
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"line", IFF_TUN | IFF_NO_PI))
    finally:
        enter(home)
        os.close(home)
        os.close(there)
    ip("addr", "add", f"{address}/30", "dev", "line", netns=netns)
    ip("link", "set", "line", "up", netns=netns)
    return tun


class Direction:
    """One way: a queue before a slow wire, then the wire's length."""

    def __init__(self, line, target, seed):
        self.line, self.target = line, target
        self.random = random.Random(seed)
        self.free_at = 0.0
        self.arrivals = []
        self.count = 0
        self.reset()

    def reset(self):
        self.packets = self.bytes = self.lost = self.overflowed = 0

    def take(self, packet, now):
        line = self.line
        if self.random.random() < line["loss"]:
            self.lost += 1
            return
        start = max(now, self.free_at)
        if (start - now) * 1000 > line["queue_ms"]:
            self.overflowed += 1
            return
        rate = line["kbps"] * 1000
        self.free_at = start + (len(packet) * 8 / rate if rate else 0)
        spread = self.random.uniform(0, line["jitter_ms"]) / 1000
        arrival = self.free_at + line["delay_ms"] / 1000 + spread
        self.count += 1
        heapq.heappush(self.arrivals, (arrival, self.count, packet))

    def deliver(self, now):
        while self.arrivals and self.arrivals[0][0] <= now:
            packet = heapq.heappop(self.arrivals)[2]
            try:
                os.write(self.target, packet)
            except OSError:
                continue  # the device is down, like a cut cable
            self.packets += 1
            self.bytes += len(packet)

    def next_arrival(self):
        return self.arrivals[0][0] if self.arrivals else None

    def report(self):
        keys = ("packets", "bytes", "lost", "overflowed")
        found = {key: getattr(self, key) for key in keys}
        self.reset()
        return found


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def carry(tuns, line, seed):
    directions = [Direction(line, tuns[1], seed), Direction(line, tuns[0], seed + 1)]
    since = time.monotonic()
    pending = b""
    while True:
        due = [d.next_arrival() for d in directions if d.arrivals]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        ready, _, _ = select.select([*tuns, sys.stdin], [], [], wait)
        now = time.monotonic()
        for tun, direction in zip(tuns, directions):
            while tun in ready:
                try:
                    direction.take(os.read(tun, MTU + 64), now)
                except BlockingIOError:
                    break
        if sys.stdin in ready:
            data = os.read(sys.stdin.fileno(), 4096)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for text in filter(None, lines):
                wish = json.loads(text)
                if wish.pop("report", False):
                    ways = [d.report() for d in directions]
                    say("carried", seconds=now - since, a_to_b=ways[0], b_to_a=ways[1])
                    since = now
                line.update(wish)
        for direction in directions:
            direction.deliver(time.monotonic())


def set_up(names, outside):
    for index, name in enumerate(names):
        ip("netns", "add", name)
        ip("link", "set", "lo", "up", netns=name)
        veth, net = f"{name[:11]}o", f"{outside}.{index * 4}"
        base, last = net.rsplit(".", 1)
        ip("link", "add", veth, "type", "veth", "peer", "name", "out", "netns", name)
        ip("addr", "add", f"{base}.{int(last) + 1}/30", "dev", veth)
        ip("link", "set", veth, "up")
        ip("addr", "add", f"{base}.{int(last) + 2}/30", "dev", "out", netns=name)
        ip("link", "set", "out", "up", netns=name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--outside", default="10.78.0", help="first three bytes of the veths")
    args = parser.parse_args()
    names = [f"{args.name}-a", f"{args.name}-b"]
    line = {"kbps": 0, "delay_ms": 0, "jitter_ms": 0, "loss": 0.0, "queue_ms": 200}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        set_up(names, args.outside)
        tuns = [open_tun(name, f"10.77.0.{i + 1}") for i, name in enumerate(names)]
        outside = [f"{args.outside}.{i * 4 + 2}" for i in range(2)]
        say("ready", namespaces=names, line=["10.77.0.1", "10.77.0.2"], outside=outside)
        carry(tuns, line, args.seed)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    main()
