package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"
)

// errands is an account that asks for other things than messages, once each: nothing is repeated, and what a failed
// request did is unknown. check says whether what was acknowledged is there, once.
type errands struct {
	*Client
	run            *run
	name, password string
	// home is a room of its own; next the neighbour whose newest room it joins.
	home string
	next *errands
	turn int

	// open is the newest room that others may join.
	open chan string
	// made and joined are rooms by id, tried the names of all rooms that may exist.
	made, joined []string
	tried        map[string]bool
	// settings are the values of what has one value: the last that was acknowledged and what was tried after it.
	settings map[string][]string
	lastSent string
}

const (
	errandAccounts = 4
	accountData    = "account data"
	displayName    = "displayname"
	errandType     = "org.hongyan.errand"
	userSearch     = "/_matrix/client/v3/user_directory/search"
)

// kinds is the order of errands; one in sixteen is a log-in, which costs the server a password hash.
var kinds = []string{ //nolint:gochecknoglobals // a constant table
	"createRoom", "typing", "receipt", "joinRoom", "accountData", "profile", "messages", "send",
	"joinedRooms", "findUsers", "receipt", "state", "accountData", "profile", "members", "login",
}

func (r *run) makeErrands(ctx context.Context, transport *fasthttp.Client) ([]*errands, error) {
	if r.cfg.Errands == 0 {
		return nil, nil
	}
	prefix, err := r.name()
	if err != nil {
		return nil, err
	}
	all := make([]*errands, errandAccounts)
	for i := range all {
		all[i] = &errands{
			Client: NewClient(transport, r.cfg.URL), run: r, name: fmt.Sprintf("%s-e%d", prefix, i), password: "pass word " + prefix,
			turn: i * len(kinds) / errandAccounts, open: make(chan string, 1), tried: map[string]bool{}, settings: map[string][]string{},
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	for i, e := range all {
		e.next = all[(i+1)%len(all)]
		g.Go(func() error { return untilAllowed(gctx, func() error { return e.setUp(gctx) }) })
	}
	return all, g.Wait()
}

func (e *errands) setUp(ctx context.Context) error {
	if e.Token == "" {
		if err := e.Register(ctx, e.name, e.password, e.run.cfg.SharedSecret, e.run.cfg.RegistrationToken); err != nil {
			return err
		}
	}
	var err error
	if e.home, err = e.CreateRoom(ctx, map[string]any{"preset": "private_chat", "name": "home of " + e.name}); err != nil {
		return fmt.Errorf("create a room: %w", err)
	}
	e.lastSent, err = e.Send(ctx, e.home, "first", []byte(`{"msgtype":"m.text","body":"first"}`))
	return err
}

// loop runs errands until ctx ends, one after the other.
func (e *errands) loop(ctx context.Context, pace <-chan struct{}) {
	for {
		select {
		case <-pace:
		case <-ctx.Done():
			return
		}
		kind := kinds[e.turn%len(kinds)]
		e.turn++
		began := time.Now()
		e.run.busy.Add(1)
		done, err := e.do(context.WithoutCancel(ctx), kind)
		e.run.busy.Add(-1)
		if !done {
			continue
		}
		if err != nil {
			e.run.errors.add(kind, err)
		}
		e.run.attempted(Attempt{Kind: kind, Began: began, Once: kind == "login", Err: err})
	}
}

// do runs one errand. It reports false when there was nothing to do.
func (e *errands) do(ctx context.Context, kind string) (bool, error) {
	room := "/_matrix/client/v3/rooms/" + url.PathEscape(e.home)
	switch kind {
	case "createRoom":
		return true, e.createRoom(ctx)
	case "joinRoom":
		return e.joinRoom(ctx)
	case "typing":
		body := map[string]any{"typing": e.turn%2 == 0, "timeout": 5000}
		return true, e.JSON(ctx, "PUT", room+"/typing/"+url.PathEscape(e.UserID), body, nil)
	case "receipt":
		return true, e.JSON(ctx, "POST", room+"/receipt/m.read/"+url.PathEscape(e.lastSent), map[string]any{}, nil)
	case "accountData":
		return true, e.set(ctx, accountData)
	case "profile":
		return true, e.set(ctx, displayName)
	case "send":
		id, err := e.Send(ctx, e.home, "e"+strconv.Itoa(e.turn), []byte(`{"msgtype":"m.text","body":"errand"}`))
		if err == nil {
			e.lastSent = id
		}
		return true, err
	case "state":
		return true, e.JSON(ctx, "PUT", room+"/state/"+errandType+"/", map[string]any{"n": e.turn}, nil)
	case "messages":
		return true, e.Messages(ctx, e.home, "", "b", 10, nil)
	case "members":
		return true, e.JSON(ctx, "GET", room+"/joined_members", nil, nil)
	case "findUsers":
		return true, e.JSON(ctx, "POST", userSearch, map[string]any{"search_term": e.next.UserID}, nil)
	case "joinedRooms":
		return true, e.JSON(ctx, "GET", "/_matrix/client/v3/joined_rooms", nil, nil)
	default:
		return true, e.login(ctx)
	}
}

// createRoom makes a public room, which the neighbour joins.
func (e *errands) createRoom(ctx context.Context) error {
	name := e.name + " " + strconv.Itoa(e.turn)
	e.tried[name] = true
	id, err := e.CreateRoom(ctx, map[string]any{"preset": "public_chat", "name": name})
	if err != nil {
		return err
	}
	e.made = append(e.made, id)
	select {
	case e.open <- id:
	default:
	}
	return nil
}

func (e *errands) joinRoom(ctx context.Context) (bool, error) {
	select {
	case id := <-e.next.open:
		err := e.Join(ctx, id)
		if err == nil {
			e.joined = append(e.joined, id)
		}
		return true, err
	default:
		return false, nil
	}
}

// set changes something that has one value.
func (e *errands) set(ctx context.Context, what string) error {
	value := strconv.Itoa(e.turn)
	before := e.settings[what]
	e.settings[what] = append(slices.Clone(before), value)
	err := e.JSON(ctx, "PUT", e.settingPath(what), map[string]string{settingKey(what): value}, nil)
	if err == nil {
		e.settings[what] = []string{value} // what was tried before it cannot come back
	}
	return err
}

func (e *errands) settingPath(what string) string {
	if what == displayName {
		return "/_matrix/client/v3/profile/" + url.PathEscape(e.UserID) + "/displayname"
	}
	return "/_matrix/client/v3/user/" + url.PathEscape(e.UserID) + "/account_data/" + errandType
}

func settingKey(what string) string {
	if what == displayName {
		return "displayname"
	}
	return "value"
}

// login makes a device and ends it again, as a visitor does.
func (e *errands) login(ctx context.Context) error {
	visitor := NewClient(e.send, e.base)
	if err := visitor.Login(ctx, e.name, e.password); err != nil {
		return err
	}
	// Whether the device ended is nobody's concern here: it would be an attempt of another kind.
	_ = visitor.JSON(ctx, "POST", "/_matrix/client/v3/logout", map[string]any{}, nil)
	return nil
}

// check compares what was acknowledged with what is there.
func (e *errands) check(ctx context.Context) error {
	var rooms struct {
		Joined []string `json:"joined_rooms"`
	}
	if err := e.JSON(ctx, "GET", "/_matrix/client/v3/joined_rooms", nil, &rooms); err != nil {
		return fmt.Errorf("read the joined rooms: %w", err)
	}
	for _, id := range slices.Concat(e.made, e.joined) {
		if !slices.Contains(rooms.Joined, id) {
			return fmt.Errorf("the room %s was made or joined, and is lost", id)
		}
	}
	if err := e.checkNames(ctx, rooms.Joined); err != nil {
		return err
	}
	for what, possible := range e.settings {
		var now map[string]json.RawMessage
		if err := e.JSON(ctx, "GET", e.settingPath(what), nil, &now); err != nil {
			return fmt.Errorf("read the %s: %w", what, err)
		}
		if value := gjson.ParseBytes(now[settingKey(what)]).String(); !slices.Contains(possible, value) {
			return fmt.Errorf("the %s is %q: want one of %q", what, value, possible)
		}
	}
	return e.checkFound(ctx)
}

// findTries and findPause are how often, and how long in between, it is looked whether the user directory knows the newest: it may be
// a moment behind.
const (
	findTries = 20
	findPause = 500 * time.Millisecond
)

// checkFound says whether the neighbour, who is in public rooms, is found by the name that they have now.
func (e *errands) checkFound(ctx context.Context) error {
	possible := e.next.settings[displayName]
	if len(e.next.made) == 0 || len(possible) == 0 {
		return nil
	}
	var name string
	for try := 0; try < findTries; try++ {
		var page struct {
			Results []struct {
				UserID string `json:"user_id"`
				Name   string `json:"display_name"`
			} `json:"results"`
		}
		if err := e.JSON(ctx, "POST", userSearch, map[string]any{"search_term": e.next.UserID}, &page); err != nil {
			return fmt.Errorf("search the user directory: %w", err)
		}
		name = ""
		for _, u := range page.Results {
			if u.UserID == e.next.UserID {
				name = u.Name
			}
		}
		if slices.Contains(possible, name) {
			return nil
		}
		select {
		case <-time.After(findPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("the user directory has %q of %s: want one of %q", name, e.next.UserID, possible)
}

// checkNames says whether a request made two rooms: each has a name of its own.
func (e *errands) checkNames(ctx context.Context, joined []string) error {
	times := map[string]int{}
	for _, id := range joined {
		var state struct {
			Name string `json:"name"`
		}
		path := "/_matrix/client/v3/rooms/" + url.PathEscape(id) + "/state/m.room.name/"
		if err := e.JSON(ctx, "GET", path, nil, &state); err != nil {
			return fmt.Errorf("read the name of %s: %w", id, err)
		}
		if times[state.Name]++; times[state.Name] > 1 && e.tried[state.Name] {
			return fmt.Errorf("the room %q was made %d times", state.Name, times[state.Name])
		}
	}
	return nil
}
