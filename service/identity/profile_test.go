package identity_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
)

func (g *rig) setField(u user, name string, value any) *answer {
	g.Helper()
	return g.as(u.token, http.MethodPut, v3+"/profile/"+u.id+"/"+name, obj{name: value})
}

func TestProfile(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		path := v3 + "/profile/" + u.id
		require.Equal(t, obj{"displayname": "alice"}, g.get("", path+"/displayname").ok().body)
		g.get("", path+"/avatar_url").fails(404, matrix.CodeNotFound)

		fields := obj{
			"displayname": "Alice ✨", "avatar_url": "mxc://hs/abc", "m.tz": "Europe/London",
			"org.example.object": obj{"b": []any{float64(1), nil, true}, "a": "x\u0000y"},
			"org.example.null":   nil, "plain-name_0": "x",
		}
		for name, value := range fields {
			require.Empty(t, g.setField(u, name, value).ok().body)
			require.Equal(t, obj{name: value}, g.get("", path+"/"+name).ok().body)
		}
		require.Equal(t, fields, g.get("", path).ok().body)

		log, rows := g.events(u.id), g.logRows()
		var event identitypb.UserEvent
		require.NoError(t, proto.Unmarshal(log[len(log)-1].GetBody(), &event))
		require.Equal(t, u.id, event.GetProfile().GetUserId())
		require.Len(t, event.GetFields(), 1)
		g.setField(u, "displayname", "Alice ✨").ok()
		require.Len(t, g.events(u.id), len(log), "nothing changed")
		g.setField(u, "displayname", "Alicia").ok()
		next := g.events(u.id)
		require.Equal(t, rows, g.logRows(), "the entry replaces the one before")
		require.NoError(t, proto.Unmarshal(next[len(next)-1].GetBody(), &event))
		require.Equal(t, "Alicia", event.GetProfile().GetDisplayName())
		require.Equal(t, "mxc://hs/abc", event.GetProfile().GetAvatarUrl())
		require.Equal(t, []string{"displayname"}, event.GetFields())

		for name := range fields {
			g.as(u.token, http.MethodDelete, path+"/"+name, nil).ok()
			g.as(u.token, http.MethodDelete, path+"/"+name, nil).ok()
			g.get("", path+"/"+name).fails(404, matrix.CodeNotFound)
		}
		g.get("", path).fails(404, matrix.CodeNotFound)
		g.setField(u, "displayname", "x").ok()
		g.setField(u, "displayname", "").ok()
		g.get("", path+"/displayname").fails(404, matrix.CodeNotFound)
	})
}

func TestProfileErrors(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u, other := g.register("alice"), g.register("bob")
		for name, c := range map[string]struct {
			field, body string
			status      int
			code        matrix.ErrCode
		}{
			"missing":            {"displayname", `{}`, 400, matrix.CodeMissingParam},
			"other key":          {"displayname", `{"avatar_url":"mxc://hs/a"}`, 400, matrix.CodeMissingParam},
			"empty body":         {"displayname", ``, 400, matrix.CodeMissingParam},
			"not JSON":           {"displayname", `{`, 400, matrix.CodeNotJSON},
			"list":               {"displayname", `[]`, 400, matrix.CodeBadJSON},
			"number":             {"displayname", `{"displayname":1}`, 400, matrix.CodeBadJSON},
			"null":               {"displayname", `{"displayname":null}`, 400, matrix.CodeBadJSON},
			"long name":          {"displayname", `{"displayname":"` + strings.Repeat("é", 257) + `"}`, 400, matrix.CodeInvalidParam},
			"far too long name":  {"displayname", `{"displayname":"` + strings.Repeat("a", 70000) + `"}`, 400, matrix.CodeProfileTooLarge},
			"name with NUL":      {"displayname", `{"displayname":"a\u0000b"}`, 400, matrix.CodeInvalidParam},
			"avatar, http":       {"avatar_url", `{"avatar_url":"https://hs/a"}`, 400, matrix.CodeInvalidParam},
			"avatar, no media":   {"avatar_url", `{"avatar_url":"mxc://hs/"}`, 400, matrix.CodeInvalidParam},
			"avatar, no server":  {"avatar_url", `{"avatar_url":"mxc:///a"}`, 400, matrix.CodeInvalidParam},
			"avatar, path":       {"avatar_url", `{"avatar_url":"mxc://hs/a/b"}`, 400, matrix.CodeInvalidParam},
			"time zone, object":  {"m.tz", `{"m.tz":{}}`, 400, matrix.CodeBadJSON},
			"time zone, empty":   {"m.tz", `{"m.tz":""}`, 400, matrix.CodeInvalidParam},
			"float":              {"org.x.f", `{"org.x.f":1.5}`, 400, matrix.CodeBadJSON},
			"huge integer":       {"org.x.f", `{"org.x.f":9007199254740992}`, 400, matrix.CodeBadJSON},
			"too large":          {"org.x.f", `{"org.x.f":"` + strings.Repeat("a", 65536) + `"}`, 400, matrix.CodeProfileTooLarge},
			"with what is there": {"org.x.f", `{"org.x.f":"` + strings.Repeat("a", 65500) + `"}`, 400, matrix.CodeProfileTooLarge},
			"long key":           {"org." + strings.Repeat("k", 252), `{}`, 400, matrix.CodeKeyTooLarge},
			"capital":            {"Org.x", `{"Org.x":1}`, 400, matrix.CodeInvalidParam},
			"digit first":        {"0rg", `{"0rg":1}`, 400, matrix.CodeInvalidParam},
			"space":              {"org.x%20y", `{"org.x y":1}`, 400, matrix.CodeInvalidParam},
		} {
			t.Run(name, func(t *testing.T) {
				g := g.in(t)
				g.as(u.token, http.MethodPut, v3+"/profile/"+u.id+"/"+c.field, c.body).fails(c.status, c.code)
			})
		}
		require.Equal(t, obj{"displayname": "alice"}, g.get("", v3+"/profile/"+u.id).ok().body)

		g.as(u.token, http.MethodPut, v3+"/profile/"+other.id+"/displayname", `{"displayname":"x"}`).fails(403, matrix.CodeForbidden)
		g.as(u.token, http.MethodPut, v3+"/profile/@x:other/displayname", `nonsense`).fails(403, matrix.CodeForbidden)
		g.as(u.token, http.MethodDelete, v3+"/profile/"+other.id+"/displayname", nil).fails(403, matrix.CodeForbidden)
		g.as(u.token, http.MethodDelete, v3+"/profile/"+u.id+"/NO", nil).fails(400, matrix.CodeInvalidParam)
		g.as("", http.MethodPut, v3+"/profile/"+u.id+"/displayname", nil).fails(401, matrix.CodeMissingToken)
		g.as(u.token, http.MethodPut, v3+"/profile/nonsense/displayname", `{}`).fails(400, matrix.CodeInvalidParam)

		g.get("", v3+"/profile/@nobody:hs").fails(404, matrix.CodeNotFound)
		g.get("", v3+"/profile/@nobody:hs/displayname").fails(404, matrix.CodeNotFound)
		g.get("", v3+"/profile/@alice:other").fails(404, matrix.CodeNotFound)
		g.get("", v3+"/profile/nonsense").fails(400, matrix.CodeInvalidParam)
		g.get("", v3+"/profile/@a%00b:hs").fails(400, matrix.CodeInvalidParam)
		g.get("", v3+"/profile/"+u.id+"/"+strings.Repeat("k", 300)).fails(404, matrix.CodeNotFound)
	})
}

func TestProfileOfSuspended(t *testing.T) {
	g := onSQLite(t, nil)
	u := g.register("alice")
	yes := true
	_, err := g.admin.SetStatus(t.Context(), &identitypb.SetStatusRequest{Name: "alice", Suspended: &yes})
	require.NoError(t, err)
	g.setField(u, "displayname", "x").fails(403, matrix.CodeUserSuspended)
	g.as(u.token, http.MethodDelete, v3+"/profile/"+u.id+"/displayname", nil).fails(403, matrix.CodeUserSuspended)
	g.login("alice", nil).ok()
}

// The largest profile is just below 64 KiB, however it is made up.
func TestProfileSize(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		last := 0
		for i := range 100 {
			a := g.setField(u, fmt.Sprintf("org.x.f%d", i), strings.Repeat("a", 1000))
			if a.status != http.StatusOK {
				a.fails(400, matrix.CodeProfileTooLarge)
				break
			}
			last = len(g.get("", v3+"/profile/"+u.id).ok().raw)
		}
		require.Less(t, last, 64<<10)
		require.Greater(t, last, 62<<10)
		g.setField(u, "org.x.f0", "small").ok() // replacing is counted right
	})
}

// Changes at once all happen, and the log ends with what is stored.
func TestProfileAtOnce(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { g.setField(u, "displayname", fmt.Sprintf("name %d", i)).ok() })
			wg.Go(func() { g.setField(u, fmt.Sprintf("org.x.f%d", i), i).ok() })
		}
		wg.Wait()
		profile := g.get("", v3+"/profile/"+u.id).ok().body
		require.Len(t, profile, 11)
		var newest identitypb.UserEvent
		for _, r := range g.events(u.id) {
			if r.GetKey() != "profile/displayname" {
				continue
			}
			require.NoError(t, proto.Unmarshal(r.GetBody(), &newest))
		}
		require.Equal(t, profile["displayname"], newest.GetProfile().GetDisplayName())
	})
}
