// Package e2e_test talks through a real server with maunium.net/go/mautrix, the library of this ecosystem's bots and
// bridges.
package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"hongyan/test/harness"
)

// person is an account with a running sync loop that remembers what it saw.
type person struct {
	*mautrix.Client
	mu   sync.Mutex
	seen map[id.RoomID][]*event.Event
	news chan struct{}
}

func register(t *testing.T, server *harness.Server, name string) *person {
	t.Helper()
	client, err := mautrix.NewClient(server.URL, "", "")
	require.NoError(t, err)
	client.DefaultHTTPRetries = 10
	answer, err := client.RegisterDummy(t.Context(), &mautrix.ReqRegister{Username: name, Password: "secret of " + name})
	require.NoError(t, err)
	client.UserID, client.DeviceID, client.AccessToken = answer.UserID, answer.DeviceID, answer.AccessToken
	return &person{Client: client, seen: map[id.RoomID][]*event.Event{}, news: make(chan struct{}, 1)}
}

// follow starts the sync loop; it ends with the test.
func (p *person) follow(t *testing.T, on ...func(context.Context, *event.Event)) {
	t.Helper()
	syncer := mautrix.NewDefaultSyncer()
	syncer.OnEvent(func(ctx context.Context, e *event.Event) {
		if e.Mautrix.EventSource&event.SourceTimeline != 0 {
			p.mu.Lock()
			p.seen[e.RoomID] = append(p.seen[e.RoomID], e)
			p.mu.Unlock()
			select {
			case p.news <- struct{}{}:
			default:
			}
		}
		for _, f := range on {
			f(ctx, e)
		}
	})
	p.Syncer = syncer
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.SyncWithContext(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// texts are the bodies of the messages seen in a room, in order.
func (p *person) texts(room id.RoomID) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, e := range p.seen[room] {
		if e.Type == event.EventMessage {
			out = append(out, e.Content.AsMessage().Body)
		}
	}
	return out
}

func (p *person) await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for !condition() {
		select {
		case <-p.news:
		case <-deadline.C:
			require.Fail(t, "did not happen", "%s: %s", p.UserID, what)
		}
	}
}

func TestManyPeopleInManyRooms(t *testing.T) { harness.OnEachDatabase(t, talkInManyRooms) }

func talkInManyRooms(t *testing.T, options harness.Options) {
	server := harness.Start(t, options)
	const people, rooms, each = 8, 6, 5
	all := make([]*person, people)
	for i := range all {
		all[i] = register(t, server, fmt.Sprintf("person%d", i))
	}
	ids := make([]id.RoomID, rooms)
	for i := range ids {
		owner := all[i%people]
		made, err := owner.CreateRoom(t.Context(), &mautrix.ReqCreateRoom{Preset: "public_chat", Name: fmt.Sprintf("room %d", i), RoomAliasName: fmt.Sprintf("room-%d", i)})
		require.NoError(t, err)
		ids[i] = made.RoomID
		for _, p := range all {
			if p != owner {
				_, err := p.JoinRoom(t.Context(), fmt.Sprintf("#room-%d:localhost", i), nil)
				require.NoError(t, err)
			}
		}
	}
	for _, p := range all {
		p.follow(t)
	}
	var senders sync.WaitGroup
	failures := make(chan error, people*rooms*each)
	for n, p := range all {
		senders.Go(func() {
			for i := range each {
				for r, room := range ids {
					if _, err := p.SendText(context.Background(), room, fmt.Sprintf("%d/%d/%d", r, n, i)); err != nil {
						failures <- err
					}
				}
			}
		})
	}
	senders.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
	for r, room := range ids {
		order := history(t, all[0], room)
		require.Len(t, order, people*each)
		for _, p := range all {
			p.await(t, fmt.Sprintf("all messages of room %d", r), func() bool { return len(p.texts(room)) >= lengthOfTail(p, room, order) })
			seen := p.texts(room)
			require.Equal(t, order[len(order)-len(seen):], seen, "%s sees room %d in the order of its history, each message once", p.UserID, r)
		}
	}
}

// lengthOfTail is how many messages stand from the first one that a person saw to the end.
func lengthOfTail(p *person, room id.RoomID, order []string) int {
	seen := p.texts(room)
	if len(seen) == 0 {
		return len(order)
	}
	for i, text := range order {
		if text == seen[0] {
			return len(order) - i
		}
	}
	return len(order)
}

// history pages from the beginning of a room to its end.
func history(t *testing.T, p *person, room id.RoomID) []string {
	t.Helper()
	var out []string
	from := ""
	for {
		page, err := p.Messages(t.Context(), room, from, "", mautrix.DirectionForward, nil, 7)
		require.NoError(t, err)
		for _, e := range page.Chunk {
			if e.Type == event.EventMessage {
				require.NoError(t, e.Content.ParseRaw(e.Type))
				out = append(out, e.Content.AsMessage().Body)
			}
		}
		if page.End == "" {
			return out
		}
		from = page.End
	}
}

// A bot accepts invites, answers commands, changes the topic, and removes who asks for it.
func TestBot(t *testing.T) { harness.OnEachDatabase(t, serveABot) }

func serveABot(t *testing.T, options harness.Options) {
	server := harness.Start(t, options)
	bot, alice := register(t, server, "bot"), register(t, server, "alice")
	bot.follow(t, func(ctx context.Context, e *event.Event) {
		switch {
		case e.Type == event.StateMember && e.GetStateKey() == bot.UserID.String() && e.Content.AsMember().Membership == event.MembershipInvite:
			_, _ = bot.JoinRoomByID(ctx, e.RoomID)
		case e.Type == event.EventMessage && e.Sender == alice.UserID:
			command, argument, _ := strings.Cut(e.Content.AsMessage().Body, " ")
			switch command {
			case "!echo":
				_, _ = bot.SendNotice(ctx, e.RoomID, argument)
			case "!topic":
				_, _ = bot.SendStateEvent(ctx, e.RoomID, event.StateTopic, "", &event.TopicEventContent{Topic: argument})
			case "!react":
				_, _ = bot.SendReaction(ctx, e.RoomID, e.ID, argument)
			}
		}
	})
	alice.follow(t)
	made, err := alice.CreateRoom(t.Context(), &mautrix.ReqCreateRoom{Preset: "trusted_private_chat", Invite: []id.UserID{bot.UserID}, IsDirect: true})
	require.NoError(t, err)
	room := made.RoomID
	saw := func(what string, fits func(*event.Event) bool) {
		alice.await(t, what, func() bool {
			alice.mu.Lock()
			defer alice.mu.Unlock()
			for _, e := range alice.seen[room] {
				if e.Sender == bot.UserID && fits(e) {
					return true
				}
			}
			return false
		})
	}
	saw("the bot's join", func(e *event.Event) bool {
		return e.Type == event.StateMember && e.Content.AsMember().Membership == event.MembershipJoin
	})
	send := func(text string) id.EventID {
		answer, err := alice.SendText(t.Context(), room, text)
		require.NoError(t, err)
		return answer.EventID
	}
	send("!echo 鸿雁传书")
	saw("the echo", func(e *event.Event) bool {
		return e.Type == event.EventMessage && e.Content.AsMessage().Body == "鸿雁传书" && e.Content.AsMessage().MsgType == event.MsgNotice
	})
	send("!topic letters by goose")
	saw("the topic", func(e *event.Event) bool {
		return e.Type == event.StateTopic && e.Content.AsTopic().Topic == "letters by goose"
	})
	target := send("!react 👍")
	saw("the reaction", func(e *event.Event) bool {
		return e.Type == event.EventReaction && e.Content.AsReaction().RelatesTo.EventID == target
	})
}

func TestStateChangesAndModeration(t *testing.T) { harness.OnEachDatabase(t, moderate) }

func moderate(t *testing.T, options harness.Options) {
	server := harness.Start(t, options)
	owner, member, stranger := register(t, server, "owner"), register(t, server, "member"), register(t, server, "stranger")
	for _, version := range []id.RoomVersion{"6", "7", "8", "9", "10", "11", "12"} {
		t.Run("version "+string(version), func(t *testing.T) {
			made, err := owner.CreateRoom(t.Context(), &mautrix.ReqCreateRoom{RoomVersion: version, Preset: "private_chat", Invite: []id.UserID{member.UserID}})
			require.NoError(t, err)
			room := made.RoomID
			_, err = member.JoinRoomByID(t.Context(), room)
			require.NoError(t, err)
			_, err = stranger.JoinRoomByID(t.Context(), room)
			require.True(t, errors.Is(err, mautrix.MForbidden), "a stranger joins a private room: %v", err)
			_, err = member.SendStateEvent(t.Context(), room, event.StateTopic, "", &event.TopicEventContent{Topic: "mine"})
			require.True(t, errors.Is(err, mautrix.MForbidden), "a member without power sets the topic: %v", err)
			var levels event.PowerLevelsEventContent
			require.NoError(t, owner.StateEvent(t.Context(), room, event.StatePowerLevels, "", &levels))
			levels.SetUserLevel(member.UserID, 50)
			_, err = owner.SendStateEvent(t.Context(), room, event.StatePowerLevels, "", &levels)
			require.NoError(t, err)
			_, err = member.SendStateEvent(t.Context(), room, event.StateTopic, "", &event.TopicEventContent{Topic: "ours"})
			require.NoError(t, err)
			var topic event.TopicEventContent
			require.NoError(t, owner.StateEvent(t.Context(), room, event.StateTopic, "", &topic))
			require.Equal(t, "ours", topic.Topic)
			_, err = member.KickUser(t.Context(), room, &mautrix.ReqKickUser{UserID: owner.UserID})
			require.True(t, errors.Is(err, mautrix.MForbidden), "a moderator kicks the creator: %v", err)
			_, err = owner.BanUser(t.Context(), room, &mautrix.ReqBanUser{UserID: member.UserID, Reason: "test"})
			require.NoError(t, err)
			_, err = member.JoinRoomByID(t.Context(), room)
			require.True(t, errors.Is(err, mautrix.MForbidden), "a banned user joins: %v", err)
			_, err = owner.UnbanUser(t.Context(), room, &mautrix.ReqUnbanUser{UserID: member.UserID})
			require.NoError(t, err)
			joined, err := owner.JoinedMembers(t.Context(), room)
			require.NoError(t, err)
			require.Len(t, joined.Joined, 1)
		})
	}
}

// Whoever follows through a clean restart misses nothing and sees nothing twice.
func TestRestartWithoutLoss(t *testing.T) { harness.OnEachDatabase(t, talkThroughARestart) }

func talkThroughARestart(t *testing.T, options harness.Options) {
	server := harness.Start(t, options)
	speaker, listener := register(t, server, "speaker"), register(t, server, "listener")
	made, err := speaker.CreateRoom(t.Context(), &mautrix.ReqCreateRoom{Preset: "public_chat"})
	require.NoError(t, err)
	_, err = listener.JoinRoomByID(t.Context(), made.RoomID)
	require.NoError(t, err)
	listener.follow(t)
	var want []string
	for i := range 40 {
		if i == 20 {
			require.Equal(t, 0, server.Stop(syscall.SIGTERM), "a clean stop: %s", server.Log())
			require.NoError(t, server.Up(t.Context()))
		}
		text := fmt.Sprintf("message %d", i)
		want = append(want, text)
		_, err := speaker.SendText(t.Context(), made.RoomID, text)
		require.NoError(t, err)
	}
	listener.await(t, "all messages", func() bool { return len(listener.texts(made.RoomID)) >= len(want) })
	require.Equal(t, want, listener.texts(made.RoomID))
}
