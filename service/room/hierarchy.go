package room

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

// Bounds of what one request for a hierarchy looks at. Of a tree with more rooms or spaces the first are shown.
const (
	defaultHierarchy = 50
	maxHierarchy     = 200
	maxDepth         = 50
	maxWalkedRooms   = 10_000
	maxWalkedSpaces  = 500
	// maxChildBytes is the largest m.space.child that counts, and hierarchyBytes about how many bytes of them end a page.
	maxChildBytes  = 4 << 10
	hierarchyBytes = 4 << 20
)

// typeSpace is the type of rooms that are spaces.
const typeSpace = "m.space"

// hierarchyQuery is what is asked of a tree.
type hierarchyQuery struct {
	suggested bool
	depth     int64
	limit     int
	from      hierarchyPlace
}

// hierarchyPlace is a token of a hierarchy: behind so many rooms, the last of which is Last. It holds what must not change on
// the way.
type hierarchyPlace struct {
	Root      string `json:"r"`
	Suggested bool   `json:"s,omitempty"`
	Depth     int64  `json:"d"`
	Behind    int    `json:"n"`
	Last      string `json:"l"`
}

// hierarchyRoom is a SpaceHierarchyRoomsChunk.
type hierarchyRoom struct {
	roomSummary
	Children json.RawMessage `json:"children_state"`
}

// getHierarchy is GET /rooms/{roomId}/hierarchy. Each page walks the tree anew from its root and leaves out what was shown
// before: nothing is kept between pages, and permissions are those of the moment.
func (s *Service) getHierarchy(w http.ResponseWriter, r *http.Request) error {
	ctx, userID := r.Context(), httpx.CallerOf(r).UserID
	h := &walk{visitor: visitor{reads: s.reads, userID: userID}, seen: map[string]struct{}{}}
	root, err := h.root(ctx, r.PathValue("roomId"))
	if err != nil {
		return err
	}
	q, err := readHierarchyQuery(r, root.RoomID)
	if err != nil {
		return err
	}
	h.query = q
	rooms, next, err := h.page(ctx, root)
	if err != nil {
		return err
	}
	answer := struct {
		Rooms []hierarchyRoom `json:"rooms"`
		Next  string          `json:"next_batch,omitempty"`
	}{Rooms: rooms}
	if next != nil {
		answer.Next = opaque(next)
	}
	httpx.WriteJSON(w, http.StatusOK, answer)
	return nil
}

func readHierarchyQuery(r *http.Request, root string) (hierarchyQuery, error) {
	q := httpx.ReadQuery(r.URL)
	h := hierarchyQuery{
		suggested: q.Bool("suggested_only", false), depth: q.Int("max_depth", maxDepth, 0, maxDepth),
		limit: int(q.Int("limit", defaultHierarchy, 1, maxHierarchy)),
	}
	from := q.String("from")
	if err := q.Err(); err != nil || from == "" {
		return h, err
	}
	if err := readOpaque("from", from, &h.from); err != nil {
		return h, err
	}
	want := hierarchyPlace{Root: root, Suggested: h.suggested, Depth: h.depth, Behind: h.from.Behind, Last: h.from.Last}
	if h.from != want || h.from.Behind < 1 || h.from.Last == "" {
		return h, errToken("from")
	}
	return h, nil
}

// walk goes through a tree of spaces, depth first.
type walk struct {
	visitor
	query hierarchyQuery
	seen  map[string]struct{}
	// stack are the rooms to come, the next one last.
	stack []node
	// rooms and spaces are how many were looked at.
	rooms, spaces int
}

// node is a room in the tree.
type node struct {
	*preview
	depth int64
}

// stop is a room on the way.
type stop struct {
	*preview
	// entered says that its children are told.
	entered bool
}

// root reads the room at which the walk begins: M_FORBIDDEN where the user may not know of it.
func (h *walk) root(ctx context.Context, roomID string) (*preview, error) {
	found, err := h.reads.previews(ctx, []string{roomID}, h.userID)
	if err != nil {
		return nil, err
	}
	p := found[roomID]
	if p == nil {
		return nil, errNoAccess()
	}
	known, err := h.mayKnow(ctx, p)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, errNoAccess()
	}
	return p, nil
}

// page returns the rooms behind the query's place, and the place behind them if more follow.
func (h *walk) page(ctx context.Context, root *preview) ([]hierarchyRoom, *hierarchyPlace, error) {
	h.stack = []node{{root, 0}}
	var way []stop
	begin := -1 // where the page begins, from when that is known
	if h.query.from.Behind == 0 {
		begin = 0
	}
	var more bool
	for {
		if more = begin >= 0 && len(way) >= begin+h.query.limit && h.goesOn(); more {
			break
		}
		at, ok, err := h.next(ctx)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			break
		}
		way = append(way, at)
		if begin < 0 && at.RoomID == h.query.from.Last {
			begin = len(way)
		}
	}
	if begin < 0 { // the last room is gone: by their number, then
		begin = min(h.query.from.Behind, len(way))
	}
	rooms, err := h.tell(ctx, way[begin:min(begin+h.query.limit, len(way))])
	if err != nil {
		return nil, nil, err
	}
	end := begin + len(rooms)
	if more || end < len(way) {
		return rooms, &hierarchyPlace{
			Root: root.RoomID, Suggested: h.query.suggested, Depth: h.query.depth, Behind: end, Last: way[end-1].RoomID,
		}, nil
	}
	return rooms, nil, nil
}

// tell reads what is told of rooms on the way: of as many as make a page, at least one if there is one.
func (h *walk) tell(ctx context.Context, way []stop) ([]hierarchyRoom, error) {
	rooms, bytes := make([]hierarchyRoom, 0, len(way)), 0
	for _, at := range way {
		var children []spaceChild
		if at.entered {
			var err error
			if children, err = h.reads.children(ctx, at.preview, h.query.suggested); err != nil {
				return nil, err
			}
		}
		state := childrenJSON(children)
		rooms = append(rooms, hierarchyRoom{at.summary(), state})
		if bytes += len(state); bytes > hierarchyBytes {
			break
		}
	}
	return rooms, nil
}

// goesOn tells whether there is another room.
func (h *walk) goesOn() bool {
	for n := len(h.stack); n > 0; n-- {
		if _, seen := h.seen[h.stack[n-1].RoomID]; !seen {
			return true
		}
		h.stack = h.stack[:n-1]
	}
	return false
}

// next goes to the next room, each but once.
func (h *walk) next(ctx context.Context) (stop, bool, error) {
	if !h.goesOn() {
		return stop{}, false, nil
	}
	n := h.stack[len(h.stack)-1]
	h.stack = h.stack[:len(h.stack)-1]
	h.seen[n.RoomID] = struct{}{}
	at := stop{preview: n.preview}
	if n.profile.Type != typeSpace || h.spaces >= maxWalkedSpaces {
		return at, true, nil
	}
	h.spaces++
	at.entered = true
	if n.depth >= h.query.depth {
		return at, true, nil
	}
	children, err := h.reads.children(ctx, n.preview, h.query.suggested)
	if err != nil {
		return at, false, err
	}
	return at, true, h.enter(ctx, children, n.depth+1)
}

// enter puts the children that the user may know of on the stack.
func (h *walk) enter(ctx context.Context, children []spaceChild, depth int64) error {
	ids := make([]string, 0, len(children))
	for _, c := range children {
		if _, seen := h.seen[c.roomID]; !seen && h.rooms < maxWalkedRooms {
			ids = append(ids, c.roomID)
			h.rooms++
		}
	}
	found, err := h.reads.previews(ctx, ids, h.userID)
	if err != nil {
		return err
	}
	for _, id := range slices.Backward(ids) {
		p := found[id]
		if p == nil {
			continue
		}
		known, err := h.mayKnow(ctx, p)
		if err != nil {
			return err
		}
		if known {
			h.stack = append(h.stack, node{p, depth})
		}
	}
	return nil
}

// childrenJSON is children_state: stripped events with their time.
func childrenJSON(children []spaceChild) json.RawMessage {
	out := []byte{'['}
	for i, c := range children {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendTimed(out, c.event)
	}
	return append(out, ']')
}

// appendTimed is a stripped event with origin_server_ts.
func appendTimed(dst []byte, e *event.Event) []byte {
	dst = e.AppendStripped(dst)
	return appendTime(dst[:len(dst)-1], e.OriginServerTS())
}
