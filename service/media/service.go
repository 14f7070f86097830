package media

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"hongyan/matrix"
	"hongyan/platform/blob"
	"hongyan/platform/bus"
	"hongyan/platform/httpx"
	"hongyan/platform/lease"
	"hongyan/platform/outbound"
	"hongyan/platform/sqldb"
	"hongyan/service/media/internal/picture"
	"hongyan/service/media/internal/store"
)

// Deps is what the service stands on.
type Deps struct {
	DB *sqldb.DB
	// Blobs keeps the bytes; all instances have the same.
	Blobs blob.Store
	// Bus tells other instances of uploads that downloads wait for.
	Bus bus.Bus
	// Server is the one whose media these are.
	Server matrix.ServerName
	// Clock is time.Now where nil, Rand crypto/rand.
	Clock func() time.Time
	Rand  io.Reader
	// Metrics registers the metrics; nil for none.
	Metrics prometheus.Registerer
}

// Service is the media service. See the package comment.
type Service struct {
	cfg   Config
	deps  Deps
	sizes []picture.Size

	store   *store.Store
	leases  *lease.Leases
	uploads uploads
	waiters *waiters
	// decoding bounds how many pictures are decoded and for whom, memory what that takes.
	decoding *turns[store.Thumbnail, file]
	memory   *semaphore.Weighted
	// pages asks other sites, nil where no previews are made; previewing bounds how many are made and for whom, parsing how many pages
	// are in memory. trimmedMS is when it was last looked whether there are too many previews.
	pages      *outbound.Client
	previewing *turns[string, store.Preview]
	parsing    *semaphore.Weighted
	trimmedMS  atomic.Int64
	// trimmedTo is when the last of the previews goes that there were when it was found that there are not too many.
	trimmedTo atomic.Int64

	metrics *metrics
}

// New checks what it is given and keeps it. Prepare and Run make it work.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.DB == nil || deps.Blobs == nil || deps.Bus == nil || deps.Server == "" {
		return nil, errors.New("media: DB, Blobs, Bus and Server are needed")
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Rand == nil {
		deps.Rand = rand.Reader
	}
	sizes, err := cfg.Thumbnails.sizes()
	if err != nil {
		return nil, err
	}
	m := newMetrics(deps.Metrics)
	s := &Service{
		cfg: cfg, deps: deps, sizes: sizes, store: store.New(deps.DB), metrics: m,
		uploads:  uploads{most: cfg.Uploads, mostOfUser: cfg.UserUploads, of: map[string]int{}},
		waiters:  newWaiters(cfg.Waiting, m.waiting),
		decoding: newTurns[store.Thumbnail, file](limits{most: cfg.Thumbnails.AtOnce, ofUser: 1, waiting: cfg.Thumbnails.UserWaiting}),
		memory:   semaphore.NewWeighted(cfg.Thumbnails.MemoryBytes),

		previewing: newTurns[string, store.Preview](cfg.URLPreviews.limits()),
		parsing:    semaphore.NewWeighted(parsedAtOnce),
	}
	if cfg.URLPreviews.Enabled {
		s.pages, err = cfg.URLPreviews.client(deps.Server)
	}
	return s, err
}

// leaseName is what the table of the service's leases begins with, sweeper the lease of who removes what nobody needs.
const (
	leaseName = "media"
	sweeper   = "sweep"
)

// openDatabase brings the database's schema up to date.
func openDatabase(ctx context.Context, db *sqldb.DB) (*lease.Leases, error) {
	if err := store.Migrate(ctx, db); err != nil {
		return nil, err
	}
	return lease.Open(ctx, db, leaseName, lease.Config{})
}

// Migrate brings the schema of the service's database up to date, as Prepare does.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	_, err := openDatabase(ctx, db)
	return err
}

// Prepare brings the database up to date. It is called once, before Run and before any request.
func (s *Service) Prepare(ctx context.Context) (err error) {
	if s.leases, err = openDatabase(ctx, s.deps.DB); err != nil {
		return fmt.Errorf("media: %w", err)
	}
	return nil
}

// Run hears of uploads at other instances and, in one of the instances, removes what nobody needs, until its context ends.
func (s *Service) Run(ctx context.Context) error {
	if s.leases == nil {
		return errors.New("media: Run before Prepare")
	}
	sub, err := s.deps.Bus.Subscribe(uploadedSubject, func(m bus.Message) { s.waiters.wake(string(m.Data)) })
	if err != nil {
		return fmt.Errorf("media: %w", err)
	}
	defer sub.Unsubscribe()
	var background sync.WaitGroup
	background.Go(func() { s.leases.Run(ctx, sweeper, s.sweep) })
	background.Wait()
	return nil
}

// Drain has downloads answered that wait for an upload.
func (s *Service) Drain(context.Context) error {
	s.waiters.close()
	return nil
}

// Routes are the service's HTTP routes.
func Routes() []httpx.Route { return httpx.Routes((*Service)(nil).bindings()) }

// Handler serves Routes.
func (s *Service) Handler() http.Handler {
	return httpx.MustServer("media", s.bindings(), httpx.Options{})
}
