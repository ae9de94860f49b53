"""Finds flashes and beeps in decoded media and measures how well they were carried.

The test media has a white frame and a tone during the first 100 ms of each second, so the
audio/video offset, cadence and gaps can be measured in the received media on any path.
"""

import numpy as np

FLASH_LUMA = 170.0  # mean of a whole frame; frames between flashes stay below 130
BEEP_RMS = 0.04     # of full scale; silence between beeps stays below 0.01
WINDOW_S = 0.005    # resolution of beep positions


def percentile(values, p):
    return float(np.percentile(values, p)) if len(values) else None


def spread(times):
    """The shortest and the longest step between neighbours, in ms."""
    steps = np.diff(times) * 1000
    return [float(steps.min()), float(steps.max())] if len(steps) else None


class Video:
    """Collects frames: timestamp of each (seconds) and whether a flash begins with it."""

    def __init__(self):
        self.times, self.arrivals, self.flashes, self.flash_arrivals = [], [], [], []
        self.sizes, self._lit, self.luma = {}, True, 0.0

    def add(self, frame, due, arrival=None):
        plane = frame.planes[0]
        luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        self.luma = float(luma[::4, : frame.width : 4].mean())
        # The first frame can be in the middle of a flash: only a dark-to-light change counts.
        if self.luma > FLASH_LUMA and not self._lit:
            self.flashes.append(due)
            self.flash_arrivals.append(arrival)
        self._lit = self.luma > FLASH_LUMA
        self.times.append(due)
        self.arrivals.append(arrival)
        size = f"{frame.width}x{frame.height}"
        self.sizes[size] = self.sizes.get(size, 0) + 1

    def report(self):
        steps = np.diff(self.times) if len(self.times) > 1 else np.zeros(0)
        return {
            "frames": len(self.times),
            "sizes": self.sizes,
            "span_s": float(self.times[-1] - self.times[0]) if self.times else 0.0,
            "cadence_ms": percentile(steps * 1000, 50),
            "max_gap_ms": float(steps.max() * 1000) if len(steps) else None,
            "steps_back": int((steps < 0).sum()),
            "max_step_back_ms": float(max(0.0, -steps.min() * 1000)) if len(steps) else 0.0,
            "luma": self.luma,
            "flashes": len(self.flashes),
            "flash_interval_ms": spread(self.flashes),
        }


class Audio:
    """Collects samples: level, gaps between frames, and where each beep begins."""

    def __init__(self):
        self.frames, self.energy, self.gaps, self.beeps = 0, 0.0, [], []
        self._end, self._silent, self.seconds, self.rate = None, 0.0, 0.0, 0

    def add(self, frame, due):
        samples = frame.to_ndarray()
        if samples.dtype.kind == "i":
            samples = samples.astype(np.float32) / np.iinfo(samples.dtype).max
        channels = frame.layout.nb_channels
        # Packed formats come as one row of interleaved channels, planar ones as a row each.
        mono = samples.reshape(-1, channels)[:, 0] if samples.shape[0] == 1 else samples[0]
        self.frames += 1
        self.rate = frame.sample_rate
        self.energy += float((mono**2).sum()) / self.rate
        if self._end is not None:
            self.gaps.append(due - self._end)
        self._end = due + len(mono) / self.rate
        self.seconds += len(mono) / self.rate
        self._find_beeps(mono, due)

    def _find_beeps(self, mono, due):
        step = max(1, int(self.rate * WINDOW_S))
        for at in range(0, len(mono), step):
            part = mono[at : at + step]
            if float(np.sqrt((part**2).mean())) < BEEP_RMS:
                self._silent += len(part) / self.rate
            else:
                if self._silent > 0.3:
                    self.beeps.append(due + at / self.rate)
                self._silent = 0.0

    def report(self):
        return {
            "frames": self.frames,
            "rate": self.rate,
            "seconds": self.seconds,
            "energy": self.energy,
            "max_gap_ms": max(self.gaps, default=0.0) * 1000,
            "lost_ms": sum(g for g in self.gaps if g > 0.002) * 1000,
            "beeps": len(self.beeps),
            "beep_interval_ms": spread(self.beeps),
        }


def latency(made, arrivals):
    """Delay (ms) from the creation of frames until the client had decoded them."""
    took = [(there - then) * 1000 for then, there in zip(made, arrivals)]
    if not took:
        return None
    return {"p50": percentile(took, 50), "p95": percentile(took, 95), "count": len(took)}


def av_offset(flashes, beeps):
    """Delay (ms) of each beep against its flash; negative if it is early."""
    found = []
    for flash in flashes:
        nearest = min(beeps, key=lambda b: abs(b - flash), default=None)
        if nearest is not None and abs(nearest - flash) < 0.5:
            found.append((nearest - flash) * 1000)
    if not found:
        return None
    return {
        "pairs": len(found),
        "median_ms": percentile(found, 50),
        "worst_ms": float(max(found, key=abs)),
        "all_ms": [round(x, 1) for x in found],
    }
