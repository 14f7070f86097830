package identity_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
)

// kinds are the kinds of log entries.
func (g *rig) kinds(userID string) []identitypb.UserEventKind {
	g.Helper()
	var kinds []identitypb.UserEventKind
	for _, r := range g.events(userID) {
		kinds = append(kinds, identitypb.UserEventKind(r.GetKind()))
	}
	return kinds
}

func TestDevices(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		other := g.register("bob")
		path := v3 + "/devices/"
		g.as(u.token, http.MethodPut, path+u.device, obj{"display_name": "Laptop"}).ok()
		require.Equal(t, "Laptop", g.get(u.token, path+u.device).ok().body["display_name"])
		changed := g.kinds(u.id)
		require.Contains(t, changed, identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_CHANGED)
		g.as(u.token, http.MethodPut, path+u.device, obj{"display_name": "Laptop"}).ok()
		g.as(u.token, http.MethodPut, path+u.device, obj{}).ok()
		require.Equal(t, changed, g.kinds(u.id), "nothing changed")
		require.Equal(t, "Laptop", g.get(u.token, path+u.device).ok().body["display_name"])

		// What was never stored is known all the same.
		g.clock.add(time.Hour)
		g.works(u.token)
		d := g.get(u.token, path+u.device).ok()
		require.EqualValues(t, g.clock.Now().UnixMilli(), d.body["last_seen_ts"])
		require.Equal(t, "192.0.2.7", d.body["last_seen_ip"])

		for _, a := range []*answer{
			g.get(u.token, path+"NONE"),
			g.get(u.token, path+other.device),
			g.get(u.token, path+strings.Repeat("a", 300)),
			g.as(u.token, http.MethodPut, path+"NONE", obj{"display_name": "x"}),
			g.as(u.token, http.MethodPut, path+"NONE", nil),
			g.as(u.token, http.MethodPut, path+other.device, obj{"display_name": "x"}),
		} {
			a.fails(404, matrix.CodeNotFound)
		}
		g.get(u.token, path+"a%00b").fails(400, matrix.CodeInvalidParam)
		g.as(u.token, http.MethodPut, path+u.device, obj{"display_name": 1}).fails(400, matrix.CodeBadJSON)
		g.as(u.token, http.MethodPut, path+u.device, obj{"display_name": strings.Repeat("x", 256)}).fails(400, matrix.CodeTooLarge)
		g.get("", path+"X").fails(401, matrix.CodeMissingToken)
		g.get("wrong", v3+"/devices").fails(401, matrix.CodeUnknownToken)
	})
}

func TestDeleteDevice(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u, other := g.register("alice"), g.register("bob")
		second := g.login("alice", obj{"device_id": "TWO/2"}).ok().text("access_token")
		made := g.clock.Now().UnixMilli()
		g.clock.add(time.Second)
		path := v3 + "/devices/TWO%2F2"
		session := g.as(u.token, http.MethodDelete, path, nil).challenged("", "m.login.password")
		g.works(second)
		auth := u.passwordAuth()
		auth["session"] = session
		// A session is for one device, one user and one request.
		g.as(u.token, http.MethodDelete, v3+"/devices/"+u.device, obj{"auth": auth}).fails(403, matrix.CodeForbidden)
		g.post(u.token, getToken, obj{"auth": auth}).fails(403, matrix.CodeForbidden)
		theirs := other.passwordAuth()
		g.as(u.token, http.MethodDelete, path, obj{"auth": theirs}).fails(403, matrix.CodeForbidden)
		theirs["session"] = session
		g.as(other.token, http.MethodDelete, path, obj{"auth": theirs}).fails(403, matrix.CodeForbidden)
		wrong := u.passwordAuth()
		wrong["session"], wrong["password"] = session, "wrong"
		require.Equal(t, session, g.as(u.token, http.MethodDelete, path, obj{"auth": wrong}).challenged(matrix.CodeForbidden, "m.login.password"))
		g.works(second)

		g.forgot.take()
		g.as(u.token, http.MethodDelete, path, obj{"auth": auth}).ok()
		g.ended(second, false)
		g.works(u.token)
		require.Equal(t, []string{"TWO/2"}, g.forgot.take()[0].GetDeviceIds())
		removed := g.events(u.id)[3]
		require.EqualValues(t, identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_REMOVED, removed.GetKind())
		event := &identitypb.UserEvent{}
		require.NoError(t, proto.Unmarshal(removed.GetBody(), event))
		require.Equal(t, []string{"TWO/2"}, event.GetDeviceIds())
		require.Equal(t, []int64{made}, event.GetDeviceCreatedMs(), "that tells it from another device of its id")
		// Again, and one that never was.
		g.as(u.token, http.MethodDelete, path, obj{"auth": u.passwordAuth()}).ok()
		g.as(u.token, http.MethodDelete, v3+"/devices/NEVER", obj{"auth": u.passwordAuth()}).ok()
		require.Len(t, g.kinds(u.id), 4)
		require.Empty(t, g.forgot.take())
	})
}

func TestDeleteDevices(t *testing.T) {
	onBoth(t, nil, func(_ *testing.T, g *rig) {
		u, other := g.register("alice"), g.register("bob")
		var tokens []string
		for _, id := range []string{"A", "B", "C"} {
			tokens = append(tokens, g.login("alice", obj{"device_id": id}).ok().text("access_token"))
		}
		body := obj{"devices": []string{"A", "C", "NONE", other.device}}
		g.post(u.token, v3+"/delete_devices", body).challenged("", "m.login.password")
		body["auth"] = u.passwordAuth()
		g.post(u.token, v3+"/delete_devices", body).ok()
		g.ended(tokens[0], false)
		g.works(tokens[1])
		g.ended(tokens[2], false)
		g.works(other.token)
		g.post(u.token, v3+"/delete_devices", obj{"devices": []string{}, "auth": u.passwordAuth()}).ok()
		g.post(u.token, v3+"/delete_devices", obj{"auth": u.passwordAuth()}).fails(400, matrix.CodeMissingParam)
		g.post(u.token, v3+"/delete_devices", obj{"devices": []int{1}}).fails(400, matrix.CodeBadJSON)
		g.post(u.token, v3+"/delete_devices", obj{"devices": make([]string, 1001)}).fails(400, matrix.CodeInvalidParam)
	})
}

func TestLogout(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		second := g.login("alice", nil).ok().text("access_token")
		third := g.login("alice", nil).ok().text("access_token")
		g.post(u.token, v3+"/logout", nil).ok()
		require.Equal(t, []string{u.device}, g.forgot.take()[0].GetDeviceIds())
		g.ended(u.token, false)
		g.post(u.token, v3+"/logout", nil).fails(401, matrix.CodeUnknownToken)
		require.Len(t, g.get(second, v3+"/devices").ok().body["devices"], 2)
		g.post(second, v3+"/logout/all", nil).ok()
		g.ended(second, false)
		g.ended(third, false)
		require.Len(t, g.forgot.take()[0].GetDeviceIds(), 2)
		g.post("", v3+"/logout", nil).fails(401, matrix.CodeMissingToken)
		require.Empty(t, g.get(g.login("alice", nil).ok().text("access_token"), v3+"/account/3pid").ok().body["threepids"])
	})
}

// A gateway that does not confirm is waited out, and the log-out is answered all the same.
func TestLogoutWithoutGateways(t *testing.T) {
	g := onSQLite(t, nil)
	u := g.register("alice")
	g.forgot.fail = true
	start := time.Now()
	g.post(u.token, v3+"/logout", nil).ok()
	require.GreaterOrEqual(t, time.Since(start), testConfig().ForgetTimeout)
	g.ended(u.token, false)
}

// A device that comes and goes leaves as many entries in the log as one that did so once.
func TestDeviceLogIsBounded(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		for range 5 {
			g.post(g.login("alice", obj{"device_id": "BOT"}).ok().text("access_token"), v3+"/logout", nil).ok()
		}
		require.Equal(t, []identitypb.UserEventKind{
			identitypb.UserEventKind_USER_EVENT_KIND_REGISTERED, identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_ADDED,
			identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_ADDED, identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_REMOVED,
		}, g.kinds(u.id))
		require.EqualValues(t, 4, g.logRows())
	})
}

// When devices were seen is stored when the service stops, at the latest.
func TestSeenIsStored(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			var u user
			t.Run("first", func(t *testing.T) {
				g := newRig(t, url, nil)
				u = g.register("alice")
				g.clock.add(time.Hour)
				g.works(u.token)
			})
			g := newRig(t, url, nil)
			var ms int64
			require.NoError(t, g.db.QueryRow(context.Background(), `SELECT last_seen_ms FROM device`).Scan(&ms))
			require.Equal(t, g.clock.Now().Add(time.Hour).UnixMilli(), ms)
		})
	}
}
