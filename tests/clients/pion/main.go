// A WHEP player made of pion, which can be told how to reach the appliance and what to lose.
//
//	pion URL --token T --codec vp8       offers only this video codec
//	pion URL --captions                  opens the data channel of captions
//	pion URL --network tcp               by TCP only; udp6: by IPv6 only
//	pion URL --loss 0.02                 loses this share of all datagrams, both ways
//
// Lines of JSON: `playing` when pictures and sound come, `progress` twice a second, `report` at the
// end. It plays until its standard input is closed. The line `restart` there makes it restart ICE on
// a new port and report `restarted`.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// How long to wait for the first picture and the first sound, and for a new path.
const patience = 30 * time.Second

type options struct {
	url, token, codec, network string
	captions                   bool
	loss                       float64
}

func main() {
	var wanted options
	flag.StringVar(&wanted.token, "token", "", "bearer token")
	flag.StringVar(&wanted.codec, "codec", "h264", "video codec: h264, vp8")
	flag.StringVar(&wanted.network, "network", "udp4", "only this: udp4, udp6, tcp")
	flag.BoolVar(&wanted.captions, "captions", false, "open the data channel of captions")
	flag.Float64Var(&wanted.loss, "loss", 0, "share of datagrams that are lost each way, by UDP over IPv4")
	if len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-") {
		fmt.Fprintln(os.Stderr, "usage: pion URL [--token T] [--codec h264|vp8] [--captions] [--network udp4|udp6|tcp] [--loss SHARE]")
		os.Exit(2)
	}
	wanted.url = os.Args[1]
	flag.CommandLine.Parse(os.Args[2:])
	err := play(wanted)
	var no *refused
	switch {
	case errors.As(err, &no):
		say("refused", facts{"status": no.status, "body": no.body})
		os.Exit(3)
	case err != nil:
		say("failed", facts{"error": err.Error()})
		os.Exit(4)
	}
}

// Plays until standard input is closed.
func play(wanted options) error {
	player, err := newPlayer(wanted)
	if err != nil {
		return err
	}
	defer player.close()
	began := time.Now()
	if err := player.negotiate(); err != nil {
		return err
	}
	commands := lines()
	for _, track := range player.tracks {
		select {
		case <-track.begun:
		case <-time.After(patience):
			return fmt.Errorf("no %s within %v: %v", track.kind, patience, player.facts())
		}
	}
	say("playing", facts{"first_ms": time.Since(began).Milliseconds()})
	ticker := time.NewTicker(500 * time.Millisecond)
	for {
		select {
		case <-ticker.C:
			say("progress", player.facts())
		case line, more := <-commands:
			if !more {
				say("report", player.facts())
				return nil
			}
			if line == "restart" {
				moved, err := player.restart()
				if err != nil {
					return err
				}
				say("restarted", moved)
			}
		}
	}
}

// The lines of standard input; closed at its end.
func lines() <-chan string {
	read := make(chan string)
	go func() {
		defer close(read)
		for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
			read <- strings.TrimSpace(scanner.Text())
		}
	}()
	return read
}

type facts map[string]any

var output sync.Mutex

// Prints one line of JSON per event; the test waits for these lines.
func say(event string, more facts) {
	line := facts{"event": event}
	for key, value := range more {
		line[key] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(text))
}
