package main

import (
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A packet that has not come in this time is lost for a player.
const lateness = time.Second

// What came of a track.
type track struct {
	kind  string
	begun chan struct{}

	lock  sync.Mutex
	codec string
	// Packets and the octets of their payloads; each packet once.
	packets, bytes int
	// Ends of pictures, and beginnings of pictures that need no others.
	pictures, keyFrames int
	// The number after the last one in order.
	next uint16
	// Numbers that were left out, and when that was seen.
	missing map[uint16]time.Time
	// What came after all, and what came too often.
	recovered, repeated int
}

func newTrack(kind string) *track {
	return &track{kind: kind, begun: make(chan struct{}), missing: map[uint16]time.Time{}}
}

// Takes packets until the track ends.
func (t *track) receive(remote *webrtc.TrackRemote) {
	for {
		packet, _, err := remote.ReadRTP()
		if err != nil {
			return
		}
		// Padding has no media.
		if len(packet.Payload) > 0 {
			t.take(packet, remote.Codec().MimeType)
		}
	}
}

func (t *track) take(packet *rtp.Packet, codec string) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.packets == 0 {
		t.codec, t.next = codec, packet.SequenceNumber
		close(t.begun)
	}
	now := time.Now()
	switch ahead := int16(packet.SequenceNumber - t.next); {
	case ahead >= 0:
		for ; t.next != packet.SequenceNumber; t.next++ {
			t.missing[t.next] = now
		}
		t.next++
	default:
		if _, waited := t.missing[packet.SequenceNumber]; !waited {
			t.repeated++
			return
		}
		delete(t.missing, packet.SequenceNumber)
		t.recovered++
	}
	t.packets++
	t.bytes += len(packet.Payload)
	if packet.Marker {
		t.pictures++
	}
	if beginsKeyFrame(codec, packet.Payload) {
		t.keyFrames++
	}
}

func (t *track) facts() facts {
	t.lock.Lock()
	defer t.lock.Unlock()
	lost := 0
	for _, since := range t.missing {
		if time.Since(since) > lateness {
			lost++
		}
	}
	found := facts{
		"codec": t.codec, "packets": t.packets, "bytes": t.bytes,
		"lost": lost, "missing": len(t.missing), "recovered": t.recovered, "repeated": t.repeated,
	}
	if t.kind == "video" {
		found["pictures"], found["key_frames"] = t.pictures, t.keyFrames
	}
	return found
}

// Whether a payload has the beginning of a picture that needs no others.
func beginsKeyFrame(codec string, payload []byte) bool {
	switch codec {
	case webrtc.MimeTypeH264:
		return beginsIDR(payload)
	case webrtc.MimeTypeVP8:
		return beginsVP8KeyFrame(payload)
	}
	return false
}

// H.264 (RFC 6184): the first slice of an IDR picture, which begins with `first_mb_in_slice` 0, a 1 bit.
func beginsIDR(payload []byte) bool {
	const idr, stapA, fuA = 5, 24, 28
	isFirst := func(unit []byte) bool { return len(unit) > 1 && unit[0]&31 == idr && unit[1]&0x80 != 0 }
	switch payload[0] & 31 {
	case stapA:
		for units := payload[1:]; len(units) > 2; {
			size := min(int(units[0])<<8|int(units[1]), len(units)-2)
			if isFirst(units[2 : 2+size]) {
				return true
			}
			units = units[2+size:]
		}
		return false
	case fuA:
		begins := len(payload) > 2 && payload[1]&0x80 != 0
		return begins && payload[1]&31 == idr && payload[2]&0x80 != 0
	}
	return isFirst(payload)
}

// VP8 (RFC 7741): the first packet of the first partition, whose frame has the inverse key frame bit clear.
func beginsVP8KeyFrame(payload []byte) bool {
	if payload[0]&0x17 != 0x10 {
		return false
	}
	at := 1
	if payload[0]&0x80 != 0 && len(payload) > 2 {
		extensions := payload[1]
		at = 2
		if extensions&0x80 != 0 {
			at += 1 + int(payload[2]>>7)
		}
		if extensions&0x40 != 0 {
			at++
		}
		if extensions&0x30 != 0 {
			at++
		}
	}
	return len(payload) > at && payload[at]&1 == 0
}

// Lets interceptors see the reports of a sender.
func drain(receiver *webrtc.RTPReceiver) {
	for {
		if _, _, err := receiver.ReadRTCP(); err != nil {
			return
		}
	}
}
