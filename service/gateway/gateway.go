package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	gatewaypb "hongyan/api/gateway"
	identitypb "hongyan/api/identity"
	"hongyan/platform/httpx"
)

// Deps are what the gateway stands on.
type Deps struct {
	// Identity knows whose a token is.
	Identity identitypb.IdentityClient
	// Upstreams are the services with public routes.
	Upstreams []Upstream
	// RoomVersions are the room versions that the room service supports.
	RoomVersions RoomVersions
	// UnstableFeatures are told in /_matrix/client/versions.
	UnstableFeatures map[string]bool
	// RateLimits counts requests; where it is off, nothing is refused for being too fast.
	RateLimits bool
	// Clock is the time, with its monotonic part.
	Clock func() time.Time
	// Rand makes request ids unique.
	Rand io.Reader
	// Metrics registers the metrics; nil for none.
	Metrics prometheus.Registerer
}

// Upstream is a service behind the gateway.
type Upstream struct {
	// Service is its name, for metrics.
	Service string
	// Routes are what it serves.
	Routes []httpx.Route
	// Transport reaches it; httpx.Local for one in this process.
	Transport http.RoundTripper
}

// Service is the gateway. It is an http.Handler for everything that comes from outside.
type Service struct {
	cfg      Config
	routes   *table
	sessions *sessions
	limits   *limits
	trusted  []netip.Prefix
	ids      *idSource
	metrics  *metrics
	clock    func() time.Time
	parking  parking
}

// New checks the configuration and builds the table of routes. It starts nothing.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gateway configuration: %w", err)
	}
	if deps.Identity == nil || deps.Clock == nil || deps.Rand == nil {
		return nil, errors.New("gateway: Identity, Clock and Rand are needed")
	}
	trusted, err := parsePrefixes(cfg.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("gateway configuration: %w", err)
	}
	ids, err := newIDSource(deps.Rand)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	authenticate := func(ctx context.Context, token string, address netip.Addr) (*identitypb.AuthenticateResponse, error) {
		req := &identitypb.AuthenticateRequest{AccessToken: token}
		if address.IsValid() {
			req.RemoteAddr = address.String()
		}
		return deps.Identity.Authenticate(ctx, req)
	}
	s := &Service{
		cfg: cfg, trusted: trusted, ids: ids, clock: deps.Clock,
		sessions: newSessions(authenticate, deps.Clock, cfg.Auth),
	}
	if deps.RateLimits {
		s.limits = newLimits(cfg.Limits, deps.Clock)
	}
	s.metrics = newMetrics(deps.Metrics)
	if s.routes, err = s.newTable(deps); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return s, nil
}

// Run waits until ctx ends, has the polls answered that were taken over from net/http, and waits for them.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	s.parking.close()
	return nil
}

// newTable gathers the routes of all services and the gateway's own.
func (s *Service) newTable(deps Deps) (*table, error) {
	t := &table{}
	for _, up := range deps.Upstreams {
		if err := t.add(up, s.metrics); err != nil {
			return nil, err
		}
	}
	own := &local{cfg: s.cfg, versions: deps.RoomVersions, features: deps.UnstableFeatures, has: t.has}
	handler, err := httpx.NewServer("gateway", own.bindings(), httpx.Options{})
	if err != nil {
		return nil, err
	}
	if err := t.add(Upstream{Service: "gateway", Routes: Routes(), Transport: httpx.Local(handler)}, s.metrics); err != nil {
		return nil, err
	}
	return t, t.addUnbuilt()
}

// Register offers what services tell the gateways.
func (s *Service) Register(reg grpc.ServiceRegistrar) {
	gatewaypb.RegisterGatewayServer(reg, forgetServer{sessions: s.sessions})
}

// forgetServer serves hongyan.gateway.v1.Gateway.
type forgetServer struct {
	gatewaypb.UnimplementedGatewayServer
	sessions *sessions
}

// ForgetTokens drops what is known of the devices' tokens and tells their long polls to end.
func (f forgetServer) ForgetTokens(_ context.Context, req *gatewaypb.ForgetTokensRequest) (*gatewaypb.ForgetTokensResponse, error) {
	f.sessions.forget(req.GetUserId(), req.GetDeviceIds())
	return &gatewaypb.ForgetTokensResponse{}, nil
}
