package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/zeromicro/go-zero/core/logx"
	"golang.org/x/net/netutil"

	"hongyan/platform/registry"
)

// Bounds of what clients can occupy.
const (
	maxQuestions   = 256 // at the same time; more over UDP are dropped, and asked again
	maxConnections = 100 // over TCP; more wait
	maxOfOne       = 20  // of them of one address; more are closed
	maxOverTCP     = 128 // questions a connection
	idleTimeout    = 2 * time.Second
	ioTimeout      = 2 * time.Second
)

// DNS is an authoritative name server of one zone that says which instances take calls.
type DNS struct {
	config    DNSConfig
	zone      zone
	questions chan struct{}
	now       func() time.Time
	rates     rates

	udp net.PacketConn
	tcp net.Listener
}

// NewDNS returns a name server; Listen opens its ports and Run answers. now is the time.
func NewDNS(config DNSConfig, directory *registry.Directory, now func() time.Time) (*DNS, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &DNS{
		config: config, zone: zone{name: config.zone(), directory: directory}, questions: make(chan struct{}, maxQuestions),
		now: now,
	}, nil
}

// Listen opens the ports, and returns where (host:port, the same for UDP and TCP); "" when it is off. Run closes them.
func (s *DNS) Listen(ctx context.Context) (string, error) {
	if s.config.Listen == "" {
		return "", nil
	}
	var err error
	for range 10 { // port 0: a port that is free for one may be taken for the other
		if err = s.listen(ctx); err == nil {
			return s.udp.LocalAddr().String(), nil
		}
	}
	return "", fmt.Errorf("listen for dns: %w", err)
}

func (s *DNS) listen(ctx context.Context) error {
	udp, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", s.config.Listen)
	if err != nil {
		return err
	}
	tcp, err := (&net.ListenConfig{}).Listen(ctx, "tcp", udp.LocalAddr().String())
	if err != nil {
		return errors.Join(err, udp.Close())
	}
	s.udp, s.tcp = udp, netutil.LimitListener(newFair(tcp, maxOfOne), maxConnections)
	host, _, _ := net.SplitHostPort(udp.LocalAddr().String())
	s.zone.self = net.ParseIP(host)
	return nil
}

// Run answers until ctx ends; it opens the ports unless Listen did. Without an address to listen on it only waits.
func (s *DNS) Run(ctx context.Context) error {
	if s.config.Listen == "" {
		<-ctx.Done()
		return nil
	}
	if s.udp == nil {
		if _, err := s.Listen(ctx); err != nil {
			return err
		}
	}
	servers := []*dns.Server{{PacketConn: s.udp, UDPSize: dns.DefaultMsgSize}, {Listener: s.tcp}}
	ends := make(chan error, len(servers))
	var running sync.WaitGroup
	for _, server := range servers {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		server.Handler, server.MaxTCPQueries = dns.HandlerFunc(s.answer), maxOverTCP
		server.ReadTimeout, server.WriteTimeout = ioTimeout, ioTimeout
		server.IdleTimeout = func() time.Duration { return idleTimeout }
		ended := make(chan struct{})
		running.Go(func() {
			defer close(ended)
			ends <- server.ActivateAndServe()
		})
		select { // one that has not started cannot be stopped
		case <-started:
		case <-ended:
		}
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-ends:
		err = fmt.Errorf("serve dns: %w", errors.Join(err, errors.New("a listener ended")))
	}
	for _, server := range servers {
		_ = server.Shutdown() // it may have ended already
	}
	running.Wait()
	return err
}

// answer answers one message.
func (s *DNS) answer(w dns.ResponseWriter, request *dns.Msg) {
	_, overTCP := w.LocalAddr().(*net.TCPAddr)
	if overTCP {
		s.questions <- struct{}{}
	} else {
		select {
		case s.questions <- struct{}{}:
		default:
			return
		}
	}
	defer func() { <-s.questions }()
	from := addressOf(w.RemoteAddr())
	if !overTCP && !from.IsLoopback() && !s.rates.take(from, s.now()) {
		s.write(w, askOverTCP(request))
		return
	}
	reply := s.zone.reply(request)
	switch {
	case overTCP:
		fit(reply, request, dns.MaxMsgSize)
	case from.IsLoopback():
		fit(reply, request, size(request, maxOnLoopback))
	default:
		fit(reply, request, size(request, maxOverUDP))
	}
	s.write(w, reply)
}

func (s *DNS) write(w dns.ResponseWriter, reply *dns.Msg) {
	if err := w.WriteMsg(reply); err != nil {
		logx.Debugf("answer a dns question of %v: %v", w.RemoteAddr(), err)
	}
}

// addressOf returns who asks; the zero address where that is not known.
func addressOf(remote net.Addr) netip.Addr {
	udp, ok := remote.(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	return udp.AddrPort().Addr().Unmap()
}

// askOverTCP is an answer that is no longer than the question. It does for who is there, and is of no use to who claims to
// be somebody else.
func askOverTCP(request *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetReply(request)
	reply.Truncated = true
	return reply
}
