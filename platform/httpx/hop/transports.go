package hop

import (
	"net"
	"net/http"
	"time"

	"hongyan/platform/httpx"
	"hongyan/platform/registry"
)

// handshakeTimeout bounds TLS: a hung instance accepts connections and says nothing.
const handshakeTimeout = 2 * time.Second

// kind is how an instance is spoken to.
type kind struct {
	transport *http.Transport
	scheme    string
	// exclusive says that a connection takes one request at a time (HTTP/1.1).
	exclusive bool
}

// transports are the kinds there are.
type transports struct{ own, foreign kind }

func newTransports(options Options) transports {
	if options.TLS != nil {
		t := newTransport(options)
		t.TLSClientConfig = options.TLS.Clone()
		t.TLSHandshakeTimeout = handshakeTimeout
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP2(true)
		t.Protocols.SetHTTP1(true)
		both := kind{transport: t, scheme: "https"} // they agree on a protocol
		return transports{own: both, foreign: both}
	}
	plain := newTransport(options)
	plain.Protocols = new(http.Protocols)
	plain.Protocols.SetHTTP1(true)
	return transports{
		own:     kind{transport: newTransport(options), scheme: "http"},
		foreign: kind{transport: plain, scheme: "http", exclusive: true},
	}
}

func newTransport(options Options) *http.Transport {
	t := httpx.NewTransport()
	t.HTTP2.SendPingTimeout, t.HTTP2.PingTimeout = options.SilenceTimeout, options.SilenceTimeout
	t.DialContext = (&net.Dialer{Timeout: time.Second, KeepAlive: 15 * time.Second}).DialContext
	return t
}

// kindOf tells how to speak to an instance. What other languages have at hand is HTTP/1.1: in the clear, an instance that
// brings its own routes is spoken to in that.
func (t transports) kindOf(i registry.Instance) kind {
	if len(i.Routes) > 0 {
		return t.foreign
	}
	return t.own
}
