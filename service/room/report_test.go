package room_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
	"hongyan/platform/httpx"
	"hongyan/platform/rpc"
)

// reports are all reports as the operator reads them, without ids and times, the newest first.
func (g *rig) reports(limit int32) []*roompb.Report {
	g.t.Helper()
	server := rpc.NewServer("admin", rpc.Options{})
	g.service.RegisterAdmin(server)
	conns, local := rpc.NewLocal(rpc.Options{})
	local.Add(server)
	client := roompb.NewModerationClient(conns.Conn("admin"))
	var all []*roompb.Report
	for before := int64(0); ; {
		page, err := client.ListReports(g.t.Context(), &roompb.ListReportsRequest{Before: before, Limit: limit})
		require.NoError(g.t, err)
		for _, r := range page.Reports {
			require.Positive(g.t, r.ReceivedMs)
			before, r.Id, r.ReceivedMs = r.Id, 0, 0
			all = append(all, r)
		}
		if len(page.Reports) == 0 {
			return all
		}
	}
}

// told are the reports in words.
func told(reports []*roompb.Report) []string {
	list := []string{}
	for _, r := range reports {
		list = append(list, strings.Join([]string{r.Reporter, r.RoomId, r.EventId, r.UserId, r.Reason}, " "))
	}
	return list
}

func TestReports(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.create("joined")
		g.act("bob", id, "join")
		event := g.say("alice", id, "bad")
		private := g.createWith("alice", map[string]any{"preset": "private_chat"})
		secret := g.say("alice", private, "secret")
		g.act("carol", id, "join")
		reason := map[string]string{"reason": "why"}
		g.ok(http.MethodPost, "bob", roomPath(id, "report", event), reason)
		g.ok(http.MethodPost, "bob", roomPath(id, "report", event), map[string]any{})
		g.ok(http.MethodPost, "dave", roomPath(private, "report"), map[string]string{"reason": ""})
		g.ok(http.MethodPost, "dave", roomPath("!nowhere:hs", "report"), reason)
		g.ok(http.MethodPost, "dave", "/users/@alice:hs/report", reason)
		long := strings.Repeat("x", 2001)
		for name, c := range map[string]struct {
			user, path string
			body       any
			status     int
			code       string
		}{
			"not a member":        {"dave", roomPath(id, "report", event), reason, 404, "M_NOT_FOUND"},
			"not a member of it":  {"bob", roomPath(private, "report", secret), reason, 404, "M_NOT_FOUND"},
			"event of another":    {"bob", roomPath(id, "report", secret), reason, 404, "M_NOT_FOUND"},
			"no such event":       {"bob", roomPath(id, "report", "$nothing"), reason, 404, "M_NOT_FOUND"},
			"no such room":        {"bob", roomPath("!nowhere:hs", "report", event), reason, 404, "M_NOT_FOUND"},
			"hidden event":        {"carol", roomPath(id, "report", event), reason, 404, "M_NOT_FOUND"},
			"room id":             {"bob", roomPath("nonsense", "report"), reason, 400, "M_INVALID_PARAM"},
			"user id":             {"bob", "/users/bob/report", reason, 400, "M_INVALID_PARAM"},
			"no reason, room":     {"bob", roomPath(id, "report"), map[string]any{}, 400, "M_MISSING_PARAM"},
			"no reason, user":     {"bob", "/users/@alice:hs/report", map[string]any{}, 400, "M_MISSING_PARAM"},
			"reason, not a text":  {"bob", roomPath(id, "report"), map[string]any{"reason": 1}, 400, "M_BAD_JSON"},
			"reason, NUL":         {"bob", roomPath(id, "report"), map[string]any{"reason": "a\x00b"}, 400, "M_BAD_JSON"},
			"reason, too long":    {"bob", roomPath(id, "report"), map[string]any{"reason": long}, 400, "M_INVALID_PARAM"},
			"reason long, events": {"bob", roomPath(id, "report", event), map[string]any{"reason": long}, 400, "M_INVALID_PARAM"},
		} {
			a := g.do(http.MethodPost, c.user, c.path, c.body)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
			require.Equal(t, c.code, a.code(), name)
		}
		want := []string{
			"@dave:hs   @alice:hs why",
			"@dave:hs " + private + "   ",
			"@bob:hs " + id + " " + event + " @alice:hs ",
			"@bob:hs " + id + " " + event + " @alice:hs why",
		}
		require.Equal(t, want, told(g.reports(0)))
		require.Equal(t, want, told(g.reports(1)), "in pages")

		// A gateway that repeats a request with its key reports once.
		keyed := httpx.Caller{UserID: userID("bob"), DeviceID: "D", IdempotencyKey: "k"}
		for range 2 {
			require.Equal(t, 200, g.doAs(keyed, http.MethodPost, roomPath(id, "report"), reason).status)
		}
		require.Len(t, g.reports(0), 5)
	})
}

// TestReportsOfAUserAreBounded checks that the newest stay.
func TestReportsOfAUserAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.ok(http.MethodPost, "alice", "/users/@bob:hs/report", map[string]string{"reason": "stays"})
		const most = 1000
		for i := range most + 3 {
			g.ok(http.MethodPost, "bob", "/users/@alice:hs/report", map[string]string{"reason": fmt.Sprint(i)})
		}
		all := g.reports(0)
		require.Len(t, all, most+1)
		require.Equal(t, fmt.Sprint(most+2), all[0].Reason)
		require.Equal(t, "3", all[most-1].Reason)
		require.Equal(t, "stays", all[most].Reason)
	})
}
