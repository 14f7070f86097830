package room

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"

	"hongyan/matrix"
	"hongyan/matrix/event"
)

// maxChildren is how many of a space's children are looked at.
const maxChildren = 5000

// spaceChild is a room that a space has as its child, and how it is placed there.
type spaceChild struct {
	roomID string
	event  *event.Event
	// order is valid where ordered.
	order     string
	ordered   bool
	suggested bool
}

// children reads the children of a space, in the order of the specification ("Ordering of children within a space"), or
// those that it suggests.
func (r *reads) children(ctx context.Context, space *preview, suggested bool) ([]spaceChild, error) {
	stored, err := r.store.StateOfType(ctx, space.Room, event.TypeSpaceChild, maxChildBytes, maxChildren)
	if err != nil {
		return nil, err
	}
	children := make([]spaceChild, 0, len(stored))
	for _, row := range stored {
		e, err := event.ParseWithID(event.RoomVersion(space.Version), matrix.EventID(row.EventID), row.JSON)
		if err != nil {
			return nil, err
		}
		if c, ok := childOf(e); ok && (c.suggested || !suggested) {
			children = append(children, c)
		}
	}
	slices.SortFunc(children, compareChildren)
	return children, nil
}

// childOf reads an m.space.child; one that names no room or no servers stands for nothing.
func childOf(e *event.Event) (spaceChild, bool) {
	c := spaceChild{roomID: e.StateKeyValue(), event: e}
	if _, err := matrix.ParseRoomID(c.roomID); err != nil {
		return c, false
	}
	via := gjson.ParseBytes(e.ContentValue("via"))
	if !via.IsArray() || len(via.Array()) == 0 {
		return c, false
	}
	for _, server := range via.Array() {
		if server.Type != gjson.String {
			return c, false
		}
	}
	if order := gjson.ParseBytes(e.ContentValue("order")); order.Type == gjson.String {
		c.order, c.ordered = order.Str, isOrder(order.Str)
	}
	c.suggested = gjson.ParseBytes(e.ContentValue("suggested")).Type == gjson.True
	return c, true
}

// isOrder says whether an order is one: at most 50 characters, all from space to tilde.
func isOrder(order string) bool {
	for i := range len(order) {
		if order[i] < 0x20 || order[i] > 0x7e {
			return false
		}
	}
	return len(order) <= 50
}

func compareChildren(a, b spaceChild) int {
	if a.ordered != b.ordered {
		if a.ordered {
			return -1
		}
		return 1
	}
	byOrder := 0
	if a.ordered {
		byOrder = cmp.Compare(a.order, b.order)
	}
	return cmp.Or(byOrder, cmp.Compare(a.event.OriginServerTS(), b.event.OriginServerTS()), cmp.Compare(a.roomID, b.roomID))
}

// appendTime ends an object with origin_server_ts.
func appendTime(dst []byte, ms int64) []byte {
	dst = append(dst, `,"origin_server_ts":`...)
	return append(strconv.AppendInt(dst, ms, 10), '}')
}
