package main

import (
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// A socket that loses datagrams in both directions: media, reports, handshakes, whatever comes.
type lossyLine struct {
	net.PacketConn
	share   float64
	dropped atomic.Int64
}

func newLossyLine(share float64) (*lossyLine, error) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	return &lossyLine{PacketConn: socket, share: share}, nil
}

func (l *lossyLine) loses() bool {
	loses := rand.Float64() < l.share
	if loses {
		l.dropped.Add(1)
	}
	return loses
}

func (l *lossyLine) ReadFrom(buffer []byte) (int, net.Addr, error) {
	for {
		size, from, err := l.PacketConn.ReadFrom(buffer)
		if err != nil || !l.loses() {
			return size, from, err
		}
	}
}

func (l *lossyLine) WriteTo(datagram []byte, to net.Addr) (int, error) {
	if l.loses() {
		return len(datagram), nil
	}
	return l.PacketConn.WriteTo(datagram, to)
}
