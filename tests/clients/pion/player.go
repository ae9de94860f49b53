package main

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

// One peer connection to the appliance, and what comes by it.
type player struct {
	url, token string
	// The address of the session.
	resource string
	pc       *webrtc.PeerConnection
	tracks   []*track
	// Something is told when another pair of candidates is chosen.
	moved chan struct{}
	line  *lossyLine

	lock      sync.Mutex
	languages []string
	cues      []string
}

func newPlayer(wanted options) (*player, error) {
	p := &player{url: wanted.url, token: wanted.token, moved: make(chan struct{}, 1)}
	settings, err := p.settings(wanted)
	if err != nil {
		return nil, err
	}
	media := &webrtc.MediaEngine{}
	if err := registerCodecs(media, wanted.codec); err != nil {
		return nil, err
	}
	interceptors := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptors(media, interceptors); err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(interceptors), webrtc.WithSettingEngine(settings))
	p.pc, err = api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		receive := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
		if _, err := p.pc.AddTransceiverFromKind(kind, receive); err != nil {
			return nil, err
		}
		p.tracks = append(p.tracks, newTrack(kind.String()))
	}
	p.pc.OnTrack(func(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		go drain(receiver)
		for _, track := range p.tracks {
			if track.kind == remote.Kind().String() {
				track.receive(remote)
			}
		}
	})
	p.pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(*webrtc.ICECandidatePair) {
		select {
		case p.moved <- struct{}{}:
		default:
		}
	})
	if wanted.captions {
		err = p.readCaptions()
	}
	return p, err
}

// How the appliance is reached.
func (p *player) settings(wanted options) (webrtc.SettingEngine, error) {
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	networks := map[string]webrtc.NetworkType{
		"udp4": webrtc.NetworkTypeUDP4, "udp6": webrtc.NetworkTypeUDP6, "tcp": webrtc.NetworkTypeTCP4,
	}
	network, known := networks[wanted.network]
	if !known {
		return settings, fmt.Errorf("`%s` is no network", wanted.network)
	}
	settings.SetNetworkTypes([]webrtc.NetworkType{network})
	if wanted.loss > 0 {
		line, err := newLossyLine(wanted.loss)
		if err != nil {
			return settings, err
		}
		p.line = line
		settings.SetICEUDPMux(webrtc.NewICEUDPMux(nil, line))
	}
	return settings, nil
}

// Opus, and one video codec with its retransmissions.
func registerCodecs(media *webrtc.MediaEngine, video string) error {
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	codecs := map[string]webrtc.RTPCodecCapability{
		"h264": {
			MimeType: webrtc.MimeTypeH264, ClockRate: 90000, RTCPFeedback: feedback,
			SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
		},
		"vp8": {MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: feedback},
	}
	codec, known := codecs[video]
	if !known {
		return fmt.Errorf("`%s` is no codec of this player", video)
	}
	again := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=102"}
	opus := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"}
	for _, one := range []struct {
		codec webrtc.RTPCodecCapability
		pt    webrtc.PayloadType
		kind  webrtc.RTPCodecType
	}{{codec, 102, webrtc.RTPCodecTypeVideo}, {again, 103, webrtc.RTPCodecTypeVideo}, {opus, 111, webrtc.RTPCodecTypeAudio}} {
		err := media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: one.codec, PayloadType: one.pt}, one.kind)
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *player) readCaptions() error {
	protocol := "auralink-captions"
	channel, err := p.pc.CreateDataChannel("captions", &webrtc.DataChannelInit{Protocol: &protocol})
	if err != nil {
		return err
	}
	channel.OnMessage(func(message webrtc.DataChannelMessage) {
		var told struct {
			Type, Text string
			Languages  []struct{ Tag string }
		}
		if json.Unmarshal(message.Data, &told) != nil {
			told.Text = fmt.Sprintf("no JSON: %q", message.Data)
		}
		p.lock.Lock()
		defer p.lock.Unlock()
		if told.Type != "hello" {
			p.cues = append(p.cues, told.Text)
			return
		}
		p.languages = nil
		for _, language := range told.Languages {
			p.languages = append(p.languages, language.Tag)
		}
	})
	return nil
}

// The chosen pair of candidates.
func (p *player) path() facts {
	pair, err := p.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return facts{}
	}
	return facts{
		"protocol": pair.Local.Protocol.String(), "local": pair.Local.Address, "local_port": pair.Local.Port,
		"remote": pair.Remote.Address, "remote_port": pair.Remote.Port,
	}
}

func (p *player) facts() facts {
	found := facts{"state": p.pc.ConnectionState().String(), "path": p.path()}
	for _, track := range p.tracks {
		found[track.kind] = track.facts()
	}
	if p.line != nil {
		found["dropped"] = p.line.dropped.Load()
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	found["languages"], found["cues"] = append([]string{}, p.languages...), append([]string{}, p.cues...)
	return found
}
