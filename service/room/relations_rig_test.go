package room_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	syncpb "hongyan/api/sync"
	"hongyan/platform/httpx"
)

// ignoring is what sync tells of whom users ignore.
type ignoring struct {
	syncpb.SyncClient
	lists map[string][]string
	// attached is account data of every user in every room.
	attached map[string]string
	err      error
}

func (i *ignoring) AccountData(
	_ context.Context, req *syncpb.AccountDataRequest, _ ...grpc.CallOption,
) (*syncpb.AccountDataResponse, error) {
	if i.err != nil {
		return nil, i.err
	}
	if req.RoomId != "" {
		resp := &syncpb.AccountDataResponse{}
		for typ, content := range i.attached {
			resp.Data = append(resp.Data, &syncpb.AccountData{RoomId: req.RoomId, Type: typ, Content: []byte(content)})
		}
		return resp, nil
	}
	list, ok := i.lists[req.UserId]
	if !ok {
		return &syncpb.AccountDataResponse{}, nil
	}
	users := map[string]any{}
	for _, u := range list {
		users[u] = map[string]any{}
	}
	content, err := json.Marshal(map[string]any{"ignored_users": users})
	return &syncpb.AccountDataResponse{Data: []*syncpb.AccountData{{Type: req.Types[0], Content: content}}}, err
}

// InviteBlocks implements syncpb.SyncClient.
func (*ignoring) InviteBlocks(context.Context, *syncpb.InviteBlocksRequest, ...grpc.CallOption) (*syncpb.InviteBlocksResponse, error) {
	return &syncpb.InviteBlocksResponse{}, nil
}

// v1 asks for a path of version 1 of the API.
func (g *rig) v1(user, path string) answer {
	g.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/_matrix/client/v1"+path, bytes.NewReader(nil))
	httpx.SetCaller(r.Header, httpx.Caller{UserID: userID(user), DeviceID: "D-" + user})
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	return answer{w.Code, w.Body.Bytes()}
}

// relate sends an event that relates to another one.
func (g *rig) relate(user, roomID, relType, target string, more map[string]any) string {
	g.t.Helper()
	return g.send(user, roomID, "m.room.message", relationTo(relType, target, more))
}

func relationTo(relType, target string, more map[string]any) map[string]any {
	content := map[string]any{"msgtype": "m.text", "body": relType}
	relation := map[string]any{"rel_type": relType, "event_id": target}
	for k, v := range more {
		content[k] = v
	}
	content["m.relates_to"] = relation
	return content
}

// edit replaces a message.
func (g *rig) edit(user, roomID, target, text string) string {
	g.t.Helper()
	return g.relate(user, roomID, "m.replace", target, map[string]any{"m.new_content": map[string]any{"body": text}})
}

// react annotates an event.
func (g *rig) react(user, roomID, target, key, txn string) answer {
	g.t.Helper()
	return g.do(http.MethodPut, user, roomPath(roomID, "send", "m.reaction", txn), map[string]any{
		"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": target, "key": key},
	})
}

func (g *rig) gone(user, roomID, id string) {
	g.t.Helper()
	g.ok(http.MethodPut, user, roomPath(roomID, "redact", id, "gone"+id), map[string]any{})
}

// bundled is what GET event tells a user of the relations of an event; nil for nothing.
func (g *rig) bundled(user, roomID, id string) map[string]any {
	g.t.Helper()
	return relationsIn(g.ok(http.MethodGet, user, roomPath(roomID, "event", id), nil).object())
}

func relationsIn(e map[string]any) map[string]any {
	unsigned, _ := e["unsigned"].(map[string]any)
	relations, _ := unsigned["m.relations"].(map[string]any)
	return relations
}

// editOf is the id of the edit in aggregations, "" for none.
func editOf(relations map[string]any) string {
	e, _ := relations["m.replace"].(map[string]any)
	id, _ := e["event_id"].(string)
	return id
}

// threadOf are the count, the newest event and the participation in aggregations.
func threadOf(t testing.TB, relations map[string]any) (count float64, latest string, participated bool) {
	t.Helper()
	thread, ok := relations["m.thread"].(map[string]any)
	require.True(t, ok, "no thread in %v", relations)
	return thread["count"].(float64), thread["latest_event"].(map[string]any)["event_id"].(string), thread["current_user_participated"].(bool)
}
