// Package e2e_test talks through real servers with maunium.net/go/mautrix, the library of this ecosystem's bots and
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
)

func talkInManyRooms(t *testing.T, s *scene) {
	const people, rooms, each = 8, 6, 5
	all := make([]*person, people)
	for i := range all {
		all[i] = s.register(t, fmt.Sprintf("person%d", i))
	}
	unrest := s.unrest(t)
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
	sent := speakInRooms(t, all, ids, each, unrest)
	for r, room := range ids {
		order, count := history(t, all[0], room), 0
		for n := range all {
			require.Equal(t, sent[n][r], said(order, fmt.Sprintf("%d/%d/", r, n)), "what person %d said in room %d", n, r)
			count += len(sent[n][r])
		}
		require.Len(t, order, count)
		for _, p := range all {
			p.await(t, fmt.Sprintf("all messages of room %d", r), func() bool { return len(p.texts(room)) >= lengthOfTail(p, room, order) })
			seen := p.texts(room)
			require.Equal(t, order[len(order)-len(seen):], seen, "%s sees room %d in the order of its history, each message once", p.UserID, r)
		}
	}
}

// speakInRooms lets everybody say something in every room, a number of times and until the unrest has struck everywhere. It
// returns what was acknowledged, by person and room.
func speakInRooms(t *testing.T, all []*person, rooms []id.RoomID, times int, unrest *unrest) [][][]string {
	sent, failures := make([][][]string, len(all)), make([]error, len(all))
	var senders sync.WaitGroup
	for n, p := range all {
		sent[n] = make([][]string, len(rooms))
		senders.Go(func() {
			for i := 0; i < times || !unrest.round(); i++ {
				for r, room := range rooms {
					text := fmt.Sprintf("%d/%d/%d", r, n, i)
					if _, err := p.SendText(t.Context(), room, text); err != nil {
						failures[n] = fmt.Errorf("send %s: %w", text, err)
						return
					}
					sent[n][r] = append(sent[n][r], text)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	senders.Wait()
	require.NoError(t, errors.Join(failures...))
	return sent
}

// A bot accepts invites, answers commands, changes the topic, and removes who asks for it.
func serveABot(t *testing.T, s *scene) {
	bot, alice := s.register(t, "bot"), s.register(t, "alice")
	unrest := s.unrest(t)
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
	for i := 0; i < 1 || !unrest.round(); i++ {
		text := fmt.Sprintf("鸿雁传书 %d", i)
		send("!echo " + text)
		saw("the echo", func(e *event.Event) bool {
			return e.Type == event.EventMessage && e.Content.AsMessage().Body == text && e.Content.AsMessage().MsgType == event.MsgNotice
		})
	}
	send("!topic letters by goose")
	saw("the topic", func(e *event.Event) bool {
		return e.Type == event.StateTopic && e.Content.AsTopic().Topic == "letters by goose"
	})
	target := send("!react 👍")
	saw("the reaction", func(e *event.Event) bool {
		return e.Type == event.EventReaction && e.Content.AsReaction().RelatesTo.EventID == target
	})
}

// Powers, bans and joins are kept by every instance, whichever answers.
func moderate(t *testing.T, s *scene) {
	owner, member, stranger := s.register(t, "owner"), s.register(t, "member"), s.register(t, "stranger")
	unrest, versions := s.unrest(t), []id.RoomVersion{"6", "7", "8", "9", "10", "11", "12"}
	for i := 0; i < len(versions) || !unrest.round(); i++ {
		version := versions[i%len(versions)]
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

// Whoever follows while every process is restarted misses nothing and sees nothing twice. Whose gateway is away asks again, as
// applications do, for a message under the same transaction id.
func talkThroughRestarts(t *testing.T, s *scene) {
	speaker, listener := s.register(t, "speaker"), s.register(t, "listener")
	speaker.DefaultHTTPRetries, speaker.DefaultHTTPBackoff = 10, 50*time.Millisecond
	made, err := speaker.CreateRoom(t.Context(), &mautrix.ReqCreateRoom{Preset: "public_chat"})
	require.NoError(t, err)
	_, err = listener.JoinRoomByID(t.Context(), made.RoomID)
	require.NoError(t, err)
	listener.follow(t)
	var want []string
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		rolled := make(chan error, 1)
		go func() { rolled <- s.Roll(t.Context(), sig) }()
		for more := 20; more > 0; { // so many after the last restart
			select {
			case err := <-rolled:
				require.NoError(t, err)
				rolled = nil
			default:
			}
			if rolled == nil {
				more--
			}
			text := fmt.Sprintf("message %d", len(want))
			_, err := speaker.SendText(t.Context(), made.RoomID, text)
			require.NoError(t, err)
			want = append(want, text)
			time.Sleep(20 * time.Millisecond)
		}
		listener.await(t, "all messages", func() bool { return len(listener.texts(made.RoomID)) >= len(want) })
		require.Equal(t, want, listener.texts(made.RoomID))
	}
	require.Equal(t, want, history(t, speaker, made.RoomID))
}
