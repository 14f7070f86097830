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
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	gatewaypb "hongyan/api/gateway"
	identitypb "hongyan/api/identity"
	"hongyan/platform/bus"
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
	// Bus tells other gateways what is counted, so that a limit is one for all of them together; nil where there are none.
	Bus bus.Bus
	// Clock is the time, with its monotonic part.
	Clock func() time.Time
	// Rand makes request ids unique.
	Rand io.Reader
	// Foreign are the services that are not part of the program; nil for none.
	Foreign Foreign
	// Ready tells whether load balancers shall send requests; nil for always. It must be quick.
	Ready func() bool
	// TrustTraces continues the traces that requests name, as something in front of the gateway began them.
	TrustTraces bool
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
	remote   remotePolls
	foreign  *foreignRoutes // nil for none
	health   health
	// trustTraces is Deps.TrustTraces.
	trustTraces bool
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
		cfg: cfg, trusted: trusted, ids: ids, clock: deps.Clock, trustTraces: deps.TrustTraces,
		sessions: newSessions(authenticate, deps.Clock, cfg.Auth), health: health{ready: deps.Ready},
	}
	if deps.RateLimits {
		s.limits = newLimits(cfg.Limits, deps.Clock, deps.Bus)
	}
	s.metrics = newMetrics(deps.Metrics, s.sessions)
	if s.routes, err = s.newTable(deps); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if deps.Foreign != nil {
		own := []string{"gateway", "identity"}
		for _, up := range deps.Upstreams {
			own = append(own, up.Service)
		}
		s.foreign = &foreignRoutes{foreign: deps.Foreign, own: own, metrics: s.metrics}
	}
	return s, nil
}

// Run keeps the routes of foreign services and counts together with other gateways until ctx ends. It then has the polls
// answered that were taken over from net/http, and waits for them.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if s.foreign != nil {
		group.Go(func() error { s.foreign.run(ctx); return nil })
	}
	if s.limits != nil && s.limits.share != nil {
		group.Go(func() error { return s.limits.runShare(ctx) })
	}
	<-ctx.Done()
	err := group.Wait()
	s.parking.close()
	return err
}

// Leave tells load balancers that the gateway leaves, and has each further request's token looked up anew. It is called
// before the gateway leaves the registry, from where on nobody tells it of tokens that end.
func (s *Service) Leave() {
	s.health.leaving.Store(true)
	s.sessions.leave()
}

// newTable gathers the routes of all services and the gateway's own.
func (s *Service) newTable(deps Deps) (*table, error) {
	t := &table{}
	for _, up := range deps.Upstreams {
		if err := t.add(up, s.metrics); err != nil {
			return nil, err
		}
	}
	own := &local{cfg: s.cfg, versions: deps.RoomVersions, features: deps.UnstableFeatures, has: t.has, clock: s.clock, health: &s.health}
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
