package auth

import (
	"fmt"
	"slices"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/matrix/internal/rawjson"
)

// Create is what a room's create event says. It does not change.
type Create struct {
	Rules   *event.Rules
	EventID matrix.EventID
	RoomID  matrix.RoomID
	// Creator may join first, and has level 100 while the room has no power levels: content.creator
	// up to version 10, the sender since.
	Creator matrix.UserID
	// Sender sent the create event.
	Sender matrix.UserID
	// Creators have infinite power; only in versions with that, else none.
	Creators []matrix.UserID
	// Federate is false where users of other servers may not take part.
	Federate bool
	// RoomType is content.type: "m.space", or "" for a room to talk in.
	RoomType string
}

// NewCreate reads a create event.
func NewCreate(e *event.Event) (*Create, error) {
	if !e.Is(event.TypeCreate, "") {
		return nil, fmt.Errorf("event %s is not a create event", e.ID())
	}
	c := &Create{
		Rules: e.Rules(), EventID: e.ID(), RoomID: e.RoomID(), Sender: e.Sender(), Creator: e.Sender(),
		Federate: string(e.ContentValue("m.federate")) != "false", RoomType: e.ContentString("type"),
	}
	if c.Rules.CreatorInContent {
		c.Creator = matrix.UserID(e.ContentString("creator"))
	}
	if c.Rules.InfiniteCreators {
		c.Creators = append([]matrix.UserID{c.Sender}, rawjson.Strings[matrix.UserID](e.ContentValue("additional_creators"))...)
	}
	return c, nil
}

// IsCreator tells whether the user has infinite power in the room.
func (c *Create) IsCreator(user matrix.UserID) bool { return slices.Contains(c.Creators, user) }
