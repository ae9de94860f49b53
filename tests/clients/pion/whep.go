package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// The server's answer, if it is not the one that was hoped for.
type refused struct {
	status int
	body   string
}

func (r *refused) Error() string { return fmt.Sprintf("%d: %s", r.status, r.body) }

// Connects by a POST (RFC 9725).
func (p *player) negotiate() error {
	offer, err := p.offer(nil)
	if err != nil {
		return err
	}
	answer, err := p.request(http.MethodPost, p.url, "application/sdp", offer, http.StatusCreated)
	if err != nil {
		return err
	}
	return p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
}

// The local description with all candidates.
func (p *player) offer(how *webrtc.OfferOptions) (string, error) {
	offer, err := p.pc.CreateOffer(how)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(offer); err != nil {
		return "", err
	}
	<-gathered
	return p.pc.LocalDescription().SDP, nil
}

func (p *player) request(method, to, kind, body string, expected int) (string, error) {
	request, err := http.NewRequest(method, to, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+p.token)
	if body != "" {
		request.Header.Set("Content-Type", kind)
	}
	if method == http.MethodPatch {
		request.Header.Set("If-Match", "*")
	}
	client := http.Client{Timeout: 20 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != expected {
		return "", &refused{response.StatusCode, string(text)}
	}
	if at := response.Header.Get("Location"); at != "" {
		base, err := url.Parse(to)
		if err != nil {
			return "", err
		}
		resource, err := base.Parse(at)
		if err != nil {
			return "", err
		}
		p.resource = resource.String()
	}
	return string(text), nil
}

// What of a description goes into a fragment (RFC 8840).
var ofICE = regexp.MustCompile(`^(a=(ice-ufrag|ice-pwd|mid|candidate|end-of-candidates|group)|m=)`)

// Restarts ICE by a PATCH (RFC 9725 section 4.3.2); says from where to where media has moved.
func (p *player) restart() (facts, error) {
	before := p.path()
	offer, err := p.offer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		return nil, err
	}
	var fragment strings.Builder
	for _, line := range strings.Split(offer, "\r\n") {
		if ofICE.MatchString(line) {
			fragment.WriteString(line + "\r\n")
		}
	}
	answer, err := p.request(http.MethodPatch, p.resource, "application/trickle-ice-sdpfrag", fragment.String(), http.StatusOK)
	if err != nil {
		return nil, err
	}
	description := renewed(p.pc.RemoteDescription().SDP, answer)
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: description}); err != nil {
		return nil, err
	}
	give := time.After(patience)
	for {
		select {
		case <-p.moved:
			if after := p.path(); len(after) > 0 && after["local_port"] != before["local_port"] {
				return facts{"before": before, "after": after}, nil
			}
		case <-give:
			return nil, fmt.Errorf("no new path within %v: %v", patience, before)
		}
	}
}

// The server's description with the user name, password and candidates of its fragment.
func renewed(description, fragment string) string {
	told := map[string]string{}
	var candidates []string
	for _, line := range strings.Split(fragment, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		if name == "a=candidate" {
			candidates = append(candidates, line)
		} else if _, again := told[name]; !again {
			told[name] = line
		}
	}
	var made []string
	for _, line := range strings.Split(description, "\r\n") {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "a=candidate":
			made = append(made, candidates...)
			candidates = nil
		case "a=ice-ufrag", "a=ice-pwd":
			made = append(made, told[name])
		default:
			made = append(made, line)
		}
	}
	return strings.Join(made, "\r\n")
}

func (p *player) close() {
	if p.resource != "" {
		// The server may have ended the session itself.
		_, _ = p.request(http.MethodDelete, p.resource, "", "", http.StatusOK)
	}
	p.pc.Close()
}
