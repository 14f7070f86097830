package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/registry"
)

// leaveTimeout is how long Close waits for an answer of ZooKeeper before it ends the session.
const leaveTimeout = 1500 * time.Millisecond

// run keeps a client until ctx ends. A client that found no server for a session timeout is replaced: its session is over, and
// servers that lost their data refuse a client that has seen more than they have.
func (r *Registry) run(ctx context.Context) {
	for ctx.Err() == nil {
		s := &session{registry: r, news: news{wake: r.wake, folder: r.config.folder()}}
		if err := s.run(ctx); err != nil {
			logx.Errorf("registry: zookeeper: %v", err)
			select {
			case <-ctx.Done():
			case <-time.After(r.config.SessionTimeout):
			}
		}
	}
}

// session is one client of ZooKeeper and what it has read. One goroutine works on it.
type session struct {
	registry *Registry
	conn     *zk.Conn
	news     news

	id     int64 // of the session that the following belongs to
	view   view
	authed bool
	// kept are the instances, by key, that were known before a further session and have not been seen in it; until
	// a time.
	kept  map[string]registry.Instance
	until time.Time
}

// run works until ctx ends or the client must be replaced.
func (s *session) run(ctx context.Context) error {
	timeout := s.registry.config.SessionTimeout
	// The dials outlive ctx: the session is closed over the network.
	dialing, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	conn, events, err := zk.Connect(s.registry.config.Endpoints, timeout,
		zk.WithHostProvider(&hosts{}), zk.WithDialer(dialer(dialing, timeout*2/3)),
		zk.WithLogger(logger{}), zk.WithLogInfo(false), zk.WithEventCallback(s.news.add))
	if err != nil {
		return err
	}
	s.conn = conn
	// Requests take no context: closing the client ends them.
	left := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(left)
		s.leave(hangUp)
	})
	s.loop(ctx)
	if stop() {
		hangUp() // not ctx: its session must not end before the next one has replaced its nodes
		s.news.end()
		conn.Close()
	} else {
		<-left
	}
	hangUp()
	for range events { // closed when the client's goroutines are done; nothing else is read from it
	}
	return nil
}

// leave ends the session. The client does not tell whether the servers heard of that, so they are asked something before.
func (s *session) leave(hangUp func()) {
	s.news.end()
	asking, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	answer, over := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		answer <- s.ask(asking)
	}()
	var err error
	select {
	case err = <-answer:
	case <-asking.Done(): // a request takes no context
		err = asking.Err()
	}
	if err != nil {
		hangUp() // nobody would hear it
	}
	s.conn.Close()
	<-over
	if err != nil && s.registry.wasThere() {
		s.registry.left = fmt.Errorf("zookeeper: end the session: %w", err)
	}
}

// ask waits for an answer, whatever it is, until ctx ends.
func (s *session) ask(ctx context.Context) error {
	for {
		_, _, err := s.conn.Exists("/")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// loop does what there is to do until ctx ends or the client has been without a server for too long.
func (s *session) loop(ctx context.Context) {
	timeout := s.registry.config.SessionTimeout
	const parts = 4 // attempts are repeated four times as often as everything is checked
	tick := time.NewTicker(timeout / parts)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-s.registry.work:
		case <-tick.C:
			s.view.checkNames = s.view.checkNames || n%parts == 0
			s.view.checkOwn = s.view.checkOwn || n%parts == 0
		}
		state, id := s.news.take(), s.conn.SessionID()
		if !state.up || id == 0 {
			if state.had && time.Since(state.since) > timeout {
				return
			}
			continue
		}
		s.begin(state, id)
		s.report(ctx, s.work())
	}
}

// begin takes over what happened at the connection: a session that is another one, or one that was interrupted.
func (s *session) begin(state state, id int64) {
	if id != s.id {
		s.id, s.view, s.authed = id, view{nodes: map[string]*node{}, checkOwn: true}, false
		s.registry.forgetStored()
		s.kept, s.until = s.registry.lastList(), time.Now().Add(s.registry.config.SessionTimeout)
	} else if state.again {
		s.view.readAgain()
	}
	s.view.happened(state)
}

// work puts the own nodes where they should be, reads what has changed, and publishes it.
func (s *session) work() error {
	if err := s.authenticate(); err != nil {
		return err
	}
	stored := s.store(s.view.checkOwn)
	s.view.checkOwn = s.view.checkOwn && stored != nil
	if err := s.read(); err != nil {
		return errors.Join(stored, err)
	}
	if stored == nil && s.ownIsMissing() { // somebody deleted it
		s.view.checkOwn = true
		s.registry.wake()
	}
	s.registry.watches.Publish(s.list())
	return stored
}

// list returns what was read, and what is kept besides.
func (s *session) list() []registry.Instance {
	list := s.view.list()
	for _, i := range list {
		delete(s.kept, i.Key())
	}
	if !time.Now().Before(s.until) {
		s.kept = nil
	}
	for _, i := range s.kept {
		list = append(list, i)
	}
	return list
}

func (s *session) authenticate() error {
	config := s.registry.config
	if s.authed || config.Username == "" {
		return nil
	}
	// The client repeats it at each reconnect.
	err := s.conn.AddAuth("digest", []byte(config.Username+":"+config.Password.Reveal()))
	s.authed = err == nil
	return err
}

// report keeps what work failed with, for those who wait, and logs it once. What a lost connection brings is not worth a line:
// that it was lost is logged already.
func (s *session) report(ctx context.Context, err error) {
	r := s.registry
	r.mu.Lock()
	before := r.failure
	r.failure = err
	r.mu.Unlock()
	lost := errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer) || errors.Is(err, zk.ErrSessionExpired) ||
		errors.Is(err, zk.ErrClosing)
	if err != nil && !lost && ctx.Err() == nil && (before == nil || before.Error() != err.Error()) {
		logx.Errorf("registry: zookeeper: %v", err)
	}
}
