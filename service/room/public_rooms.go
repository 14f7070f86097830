package room

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/store"
)

// Bounds of one page of the directory.
const (
	defaultDirectory = 100
	maxDirectory     = 500
)

// directoryQuery is what a client asks of the directory: the body of POST /publicRooms.
type directoryQuery struct {
	Limit  *int64 `json:"limit"`
	Since  string `json:"since"`
	Filter struct {
		Text  string    `json:"generic_search_term"`
		Types []*string `json:"room_types"`
	} `json:"filter"`
	AllNetworks bool   `json:"include_all_networks"`
	Network     string `json:"third_party_instance_id"`
}

// directoryPlace is a token of the directory: behind the room, towards larger ones if Back.
type directoryPlace struct {
	Joined int64  `json:"n"`
	RoomID string `json:"r"`
	Back   bool   `json:"b,omitempty"`
}

func (p directoryPlace) place() store.Place { return store.Place{Joined: p.Joined, RoomID: p.RoomID} }

// publicRoom is a PublishedRoomsChunk.
type publicRoom struct {
	RoomID        string `json:"room_id"`
	Joined        int64  `json:"num_joined_members"`
	Name          string `json:"name,omitempty"`
	Topic         string `json:"topic,omitempty"`
	Alias         string `json:"canonical_alias,omitempty"`
	Avatar        string `json:"avatar_url,omitempty"`
	JoinRule      string `json:"join_rule"`
	Type          string `json:"room_type,omitempty"`
	WorldReadable bool   `json:"world_readable"`
	GuestCanJoin  bool   `json:"guest_can_join"`
}

func newPublicRoom(roomID string, joined int64, p profile) publicRoom {
	return publicRoom{
		RoomID: roomID, Joined: joined, Name: p.Name, Topic: p.Topic, Alias: p.Alias, Avatar: p.Avatar,
		JoinRule: p.JoinRule, Type: p.Type, WorldReadable: p.WorldReadable, GuestCanJoin: p.GuestCanJoin,
	}
}

// directoryPage is the answer.
type directoryPage struct {
	Chunk []publicRoom `json:"chunk"`
	Next  string       `json:"next_batch,omitempty"`
	Prev  string       `json:"prev_batch,omitempty"`
	Total int64        `json:"total_room_count_estimate"`
}

// mayAsk refuses who has no token, where the directory is for users alone.
func (s *Service) mayAsk(caller httpx.Caller) error {
	if caller.UserID == "" && !s.cfg.OpenDirectory {
		return matrix.NewError(matrix.CodeMissingToken, "An access token is needed.")
	}
	return nil
}

// getPublicRooms is GET /publicRooms.
func (s *Service) getPublicRooms(w http.ResponseWriter, r *http.Request) error {
	if err := s.mayAsk(httpx.CallerOf(r)); err != nil {
		return err
	}
	var d directoryQuery
	q := httpx.ReadQuery(r.URL)
	limit := q.Int("limit", defaultDirectory, 1, maxDirectory)
	d.Limit, d.Since = &limit, q.String("since")
	server := q.String("server")
	if err := q.Err(); err != nil {
		return err
	}
	return s.answerDirectory(r.Context(), w, server, d)
}

// queryPublicRooms is POST /publicRooms.
func (s *Service) queryPublicRooms(w http.ResponseWriter, r *http.Request) error {
	q := httpx.ReadQuery(r.URL)
	server := q.String("server")
	if err := q.Err(); err != nil {
		return err
	}
	d, err := readBody[directoryQuery](r)
	if err != nil {
		return err
	}
	return s.answerDirectory(r.Context(), w, server, d)
}

func (s *Service) answerDirectory(ctx context.Context, w http.ResponseWriter, server string, d directoryQuery) error {
	if err := s.checkDirectory(server); err != nil {
		return err
	}
	search, err := d.search()
	if err != nil {
		return err
	}
	if d.Network != "" { // rooms of other networks come with application services: there are none
		httpx.WriteJSON(w, http.StatusOK, directoryPage{Chunk: []publicRoom{}})
		return nil
	}
	page, err := s.directoryPage(ctx, search, d.Since != "")
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, page)
	return nil
}

// checkDirectory refuses to list the rooms of other servers.
func (s *Service) checkDirectory(server string) error {
	if server == "" || server == string(s.server) {
		return nil
	}
	if _, err := matrix.ParseServerName(server); err != nil {
		return err
	}
	return matrix.Errorf(matrix.CodeNotFound, "Only the rooms of %s can be listed here.", s.server)
}

// search checks the query.
func (d directoryQuery) search() (store.Search, error) {
	s := store.Search{Text: fold(d.Filter.Text), Limit: defaultDirectory, After: store.Place{Joined: math.MaxInt64}}
	if d.Limit != nil {
		if *d.Limit < 1 {
			return s, matrix.NewError(matrix.CodeInvalidParam, "limit must be at least 1.")
		}
		s.Limit = int(min(*d.Limit, maxDirectory))
	}
	for _, t := range d.Filter.Types {
		if t == nil {
			t = new(string)
		}
		s.Types = append(s.Types, listedType(*t))
	}
	if d.AllNetworks && d.Network != "" {
		return s, matrix.NewError(matrix.CodeInvalidParam, "third_party_instance_id needs include_all_networks to be false.")
	}
	if d.Since != "" {
		var p directoryPlace
		if err := readOpaque("since", d.Since, &p); err != nil {
			return s, err
		}
		if _, err := matrix.ParseRoomID(p.RoomID); err != nil || !isText(p.RoomID) || p.Joined < 1 {
			return s, errToken("since")
		}
		s.After, s.Backward = p.place(), p.Back
	}
	return s, nil
}

// directoryPage reads a page, and one room more, which tells whether there is another page; continued says that the page
// is not the first. All tokens stand behind a room: the page before ends with it, the page after begins behind it.
func (s *Service) directoryPage(ctx context.Context, q store.Search, continued bool) (directoryPage, error) {
	page := directoryPage{Chunk: []publicRoom{}}
	wanted := q.Limit
	q.Limit++
	found, err := s.reads.store.SearchDirectory(ctx, q)
	if err != nil {
		return page, err
	}
	if page.Total, err = s.sizeOfDirectory(ctx); err != nil {
		return page, err
	}
	var beyond *store.Listed
	if len(found) > wanted {
		beyond = &found[wanted]
		found = found[:wanted]
	}
	here := directoryPlace{Joined: q.After.Joined, RoomID: q.After.RoomID}
	if q.Backward {
		slices.Reverse(found)
		page.Next = opaque(here)
		if beyond != nil {
			page.Prev = opaque(directoryPlace{beyond.Joined, beyond.RoomID, true})
		}
	} else {
		if continued {
			here.Back = true
			page.Prev = opaque(here)
		}
		if beyond != nil {
			last := found[wanted-1]
			page.Next = opaque(directoryPlace{last.Joined, last.RoomID, false})
		}
	}
	for _, l := range found {
		var p profile
		if err := json.Unmarshal(l.Profile, &p); err != nil {
			return page, fmt.Errorf("decode profile of room %s: %w", l.RoomID, err)
		}
		page.Chunk = append(page.Chunk, newPublicRoom(l.RoomID, l.Joined, p))
	}
	return page, nil
}
