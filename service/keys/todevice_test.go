package keys_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	keyspb "hongyan/api/keys"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/service/keys"
)

// putRaw sends a body as it is; it may be called on any goroutine.
func putRaw(base string, d device, eventType, txn string, raw []byte) (status int, body string, err error) {
	path := "/_matrix/client/v3/sendToDevice/" + url.PathEscape(eventType) + "/" + url.PathEscape(txn)
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPut, base+path, bytes.NewReader(raw))
	if err != nil {
		return 0, "", err
	}
	httpx.SetCaller(r.Header, httpx.Caller{UserID: userID(d.user), DeviceID: d.id})
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func TestToDeviceReachesWhomItNames(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		phone, laptop := g.login("alice", "PHONE"), g.login("alice", "LAPTOP")
		bob, other, slash := g.login("bob", "B"), g.login("bob", "B2"), g.login("bob", "B/3 %*é")
		carol := g.login("carol", "B")
		g.send(phone, "m.room_key_request", "1", mail{
			userID("bob"):       {"*": text("all"), "B2": text("you"), "GONE": text("nobody")},
			userID("alice"):     {"LAPTOP": text("own")},
			userID("nobody"):    {"*": text("x"), "B": text("x")},
			"@far:elsewhere":    {"*": text("x")},
			userID("carol"):     {},
			userID("bob") + "x": {"": text("x")},
		})
		require.Equal(t, []string{"all"}, g.bodies(bob))
		require.Equal(t, []string{"you"}, g.bodies(other), "who is named gets the own message alone")
		require.Equal(t, []string{"all"}, g.bodies(slash))
		require.Equal(t, []string{"own"}, g.bodies(laptop))
		require.Empty(t, g.bodies(phone))
		require.Empty(t, g.bodies(carol))
		for _, nobody := range []device{{"bob", "GONE"}, {"nobody", "B"}, {"bob", "B/3"}, {"bob", "*"}} {
			require.Empty(t, g.waiting(nobody, 0, 0), nobody)
		}
		g.send(phone, "m.dummy", "2", to("alice", text("me"), "*"))
		require.Equal(t, []string{"me"}, g.bodies(phone), "all devices are also one's own")
		require.Equal(t, []string{"own", "me"}, g.bodies(laptop))
	})
}

func TestToDeviceMessageIsWhatTheClientGets(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.login("alice", "A"), g.login("bob", "B")
		raw := fmt.Sprintf(`{"messages": {%q: {"B": {"sender": "@eve:hs", "n": 1.5e300, "z": "\u0000\"", "a": [], "a": [ 2 ]}}}, "x": 1}`,
			userID("bob"))
		status, body, err := putRaw(g.url, alice, `org.x."é/`, "1", []byte(raw))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, body)
		got := g.waiting(bob, 0, 0)
		require.Len(t, got, 1)
		require.Equal(t, `{"content":{"a":[2],"n":1.5e300,"sender":"@eve:hs","z":"\u0000\""},"sender":"@alice:hs","type":"org.x.\"é/"}`,
			string(got[0].GetMessage()))
	})
}

func TestToDeviceRefusals(t *testing.T) {
	cfg := keys.Default()
	cfg.ToDevice.MessageBytes, cfg.ToDevice.RequestUsers, cfg.ToDevice.RequestMessages, cfg.ToDevice.RequestBytes = 1000, 3, 4, 2000
	g := newRig(t, databases["sqlite"](t), nil, cfg)
	alice := g.login("alice", "A")
	for i := range 5 {
		g.login("bob", fmt.Sprint("B", i))
	}
	bob := func(rest string) string { return `{"messages": {"@bob:hs": ` + rest + `}}` }
	long := strings.Repeat("x", 900)
	for name, c := range map[string]struct {
		eventType, txn, body string
		status               int
		code                 string
	}{
		"no JSON":            {body: `{`, status: 400, code: "M_NOT_JSON"},
		"no UTF-8":           {body: "{\"messages\": {}, \"x\": \"\xff\"}", status: 400, code: "M_NOT_JSON"},
		"no object":          {body: `[]`, status: 400, code: "M_BAD_JSON"},
		"empty body":         {body: ``, status: 400, code: "M_MISSING_PARAM"},
		"no messages":        {body: `{"Messages": {}}`, status: 400, code: "M_MISSING_PARAM"},
		"messages null":      {body: `{"messages": null}`, status: 400, code: "M_BAD_JSON"},
		"messages a list":    {body: `{"messages": []}`, status: 400, code: "M_BAD_JSON"},
		"user null":          {body: bob(`null`), status: 400, code: "M_BAD_JSON"},
		"user a text":        {body: bob(`"x"`), status: 400, code: "M_BAD_JSON"},
		"content null":       {body: bob(`{"B1": null}`), status: 400, code: "M_BAD_JSON"},
		"content a list":     {body: bob(`{"B1": []}`), status: 400, code: "M_BAD_JSON"},
		"no user id":         {body: `{"messages": {"bob": {"B1": {}}}}`, status: 400, code: "M_INVALID_PARAM"},
		"user id with NUL":   {body: `{"messages": {"@b\u0000b:hs": {"B1": {}}}}`, status: 400, code: "M_INVALID_PARAM"},
		"long type":          {eventType: strings.Repeat("x", 256), body: bob(`{}`), status: 400, code: "M_INVALID_PARAM"},
		"type with NUL":      {eventType: "a\x00", body: bob(`{}`), status: 400, code: "M_INVALID_PARAM"},
		"type no UTF-8":      {eventType: "a\xff", body: bob(`{}`), status: 400, code: "M_INVALID_PARAM"},
		"long transaction":   {txn: strings.Repeat("x", 513), body: bob(`{}`), status: 400, code: "M_INVALID_PARAM"},
		"bad transaction":    {txn: "a\x00", body: bob(`{}`), status: 400, code: "M_INVALID_PARAM"},
		"deep":               {body: bob(`{"B1": {"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}}`), status: 400, code: "M_BAD_JSON"},
		"large message":      {body: bob(`{"B1": {"a":"` + strings.Repeat("x", 1000) + `"}}`), status: 413, code: "M_TOO_LARGE"},
		"many messages":      {body: bob(`{"B0":{},"B1":{},"B2":{},"B3":{},"B4":{}}`), status: 413, code: "M_TOO_LARGE"},
		"many devices":       {body: bob(`{"*":{}}`), status: 413, code: "M_TOO_LARGE"},
		"large messages":     {body: bob(`{"B0":{"a":"` + long + `"},"B1":{"a":"` + long + `"},"B2":{"a":"` + long + `"}}`), status: 413, code: "M_TOO_LARGE"},
		"many users":         {body: `{"messages": {"@b:hs":{},"@c:hs":{},"@d:hs":{},"@e:far":{}}}`, status: 413, code: "M_TOO_LARGE"},
		"large body":         {body: bob(`{"B0":{"a":"` + strings.Repeat("x", 5<<20) + `"}}`), status: 413, code: "M_TOO_LARGE"},
		"messages to nobody": {body: `{"messages": {}}`, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			if c.eventType == "" {
				c.eventType = "m.dummy"
			}
			if c.txn == "" {
				c.txn = name
			}
			status, body, err := putRaw(g.url, alice, c.eventType, c.txn, []byte(c.body))
			require.NoError(t, err)
			require.Equal(t, c.status, status, body)
			if c.code != "" {
				require.Contains(t, body, c.code)
			}
			for i := range 5 {
				require.Empty(t, g.bodies(device{"bob", fmt.Sprint("B", i)}), "of what is refused nothing is sent")
			}
		})
	}
}

func TestToDeviceIsSentOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		phone, laptop, bob, carol := g.login("alice", "PHONE"), g.login("alice", "LAP|TOP"), g.login("bob", "B"), g.login("carol", "C")
		g.people.register("dave")
		both := mail{userID("bob"): {"*": text("1")}, userID("carol"): {"C": text("1")}, userID("dave"): {"*": text("1")}}
		g.send(phone, "a", "1", to("bob", text("1"), "B"))
		// What is missing of a request is written, and nothing else of it: also where the server died in between.
		g.send(phone, "a", "1", both)
		g.send(phone, "a", "1", both)
		late, dave := g.login("bob", "LATE"), g.login("dave", "D")
		g.send(phone, "a", "1", both)
		require.Empty(t, g.bodies(late), "a repeat is not for who came meanwhile")
		require.Empty(t, g.bodies(dave))
		require.Equal(t, []string{"1"}, g.bodies(bob))
		require.Equal(t, []string{"1"}, g.bodies(carol))
		require.Equal(t, []string{"1"}, g.take(bob))
		g.send(phone, "a", "1", both)
		require.Empty(t, g.bodies(bob), "nor for who has got it")
		// Another type, another device, another id: other requests.
		g.send(phone, "b", "1", to("bob", text("2"), "B"))
		g.send(laptop, "a", "1", to("bob", text("3"), "B"))
		g.send(phone, "a", "2", to("bob", text("4"), "B"))
		g.send(carol, "a", "1", to("bob", text("5"), "B"))
		require.Equal(t, []string{"2", "3", "4", "5"}, g.bodies(bob))
		// The same at once.
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if status, body, err := tryToDevice(g.url, phone, "a", "3", both); err != nil || status != 200 {
					t.Error(status, body, err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, []string{"1"}, g.bodies(late))
		require.Equal(t, []string{"1"}, g.bodies(dave))
	})
}

func TestToDeviceIsReadInPartsAndAcknowledged(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob, other := g.login("alice", "A"), g.login("bob", "B"), g.login("bob", "B2")
		const n = 250
		for i := range n {
			g.send(alice, "a", fmt.Sprint(i), to("bob", text(fmt.Sprint(i)), "*"))
		}
		read := func(after, through int64, limit int32) *keyspb.ToDeviceResponse {
			resp, err := g.client.ToDevice(t.Context(), &keyspb.ToDeviceRequest{
				UserId: userID("bob"), DeviceId: "B", After: after, Through: through, Limit: limit,
			})
			require.NoError(t, err)
			return resp
		}
		all := g.waiting(bob, 0, 0)
		require.Len(t, all, n)
		first := read(0, 0, 0)
		require.Len(t, first.GetMessages(), 100)
		require.True(t, first.GetMore())
		require.Len(t, read(0, 0, n).GetMessages(), n)
		require.False(t, read(0, 0, n).GetMore())
		require.True(t, read(0, 0, n-1).GetMore())
		require.False(t, read(0, all[9].GetPosition(), 10).GetMore(), "what is after the cut does not count")
		require.Len(t, read(all[4].GetPosition(), all[9].GetPosition(), 0).GetMessages(), 5)
		require.Empty(t, read(all[9].GetPosition(), all[9].GetPosition(), 0).GetMessages())
		require.Empty(t, read(all[n-1].GetPosition(), 0, 0).GetMessages())

		g.acknowledge(bob, 0)
		require.Len(t, g.waiting(bob, 0, 0), n)
		for range 2 {
			g.acknowledge(bob, all[99].GetPosition())
			require.Len(t, g.waiting(bob, 0, 0), n-100)
		}
		require.Len(t, g.waiting(other, 0, 0), n, "each device has its own")
		g.acknowledge(bob, all[n-1].GetPosition())
		require.Empty(t, g.waiting(bob, 0, 0))
	})
}

// TestToDeviceAnswersAreBounded reads messages that are large together.
func TestToDeviceAnswersAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.login("alice", "A"), g.login("bob", "B")
		for i := range 40 {
			g.send(alice, "a", fmt.Sprint(i), to("bob", map[string]any{"body": i, "x": strings.Repeat("x", 60_000)}, "B"))
		}
		resp, err := g.client.ToDevice(t.Context(), &keyspb.ToDeviceRequest{UserId: userID("bob"), DeviceId: "B"})
		require.NoError(t, err)
		require.True(t, resp.GetMore())
		require.Len(t, resp.GetMessages(), 17, "a megabyte")
		require.Len(t, g.bodies(bob), 40)
	})
}

func TestToDeviceQueueIsBounded(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, open(t), nil, smallQueues(10, 20_000))
			alice, eve, bob := g.login("alice", "A"), g.login("eve", "E"), g.login("bob", "B")
			send := func(d device, txn string, size int) {
				g.send(d, "a", txn, to("bob", map[string]any{"body": d.user + txn, "x": strings.Repeat("x", size)}, "B"))
			}
			for i := range 4 {
				send(alice, fmt.Sprint(i), 0)
			}
			for i := range 30 {
				send(eve, fmt.Sprint(i), 0)
			}
			want := []string{"alice0", "alice1", "alice2", "alice3", "eve24", "eve25", "eve26", "eve27", "eve28", "eve29"}
			require.Equal(t, want, g.bodies(bob), "who floods loses, and what is oldest")
			send(alice, "4", 0)
			require.Equal(t, append(append(want[:4:4], want[5:]...), "alice4"), g.bodies(bob))
			send(eve, "large", 15_000)
			require.Len(t, g.bodies(bob), 10)
			send(eve, "larger", 15_000)
			require.Equal(t, []string{"alice0", "alice1", "alice2", "alice3", "alice4", "evelarger"}, g.bodies(bob))
		})
	}
}

func TestToDeviceGoesWithTheDevice(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, gone, stays := g.login("alice", "A"), g.login("bob", "B"), g.login("bob", "B2")
		g.send(alice, "a", "1", to("bob", text("1"), "*"))
		g.send(gone, "a", "1", to("alice", text("1"), "A"))
		// It is removed, a later device has its id, and only then the removal is followed.
		g.people.drop("bob", "B")
		g.login("bob", "B")
		g.send(alice, "a", "2", to("bob", text("2"), "*"))
		g.people.mu.Lock()
		removed := g.people.devices[userID("bob")]["B"].GetCreatedMs() - 1
		g.people.mu.Unlock()
		g.people.tellAt(removed, "bob", identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_REMOVED, "B")
		await(t, "the old device's message goes", func() bool { return len(g.bodies(gone)) == 1 })
		require.Equal(t, []string{"2"}, g.bodies(gone), "the later device keeps its own")
		require.Equal(t, []string{"1", "2"}, g.bodies(stays))
		await(t, "its transactions go", func() bool {
			g.send(gone, "a", "1", to("alice", text("1 again"), "A"))
			return len(g.bodies(alice)) == 2
		})
		require.Equal(t, []string{"1", "1 again"}, g.bodies(alice))

		g.people.remove("bob", "B2")
		await(t, "the queue goes", func() bool { return len(g.bodies(stays)) == 0 })
		g.send(alice, "a", "3", to("bob", text("3"), "*"))
		require.Empty(t, g.bodies(stays), "nothing is queued for who is not there")
		require.Equal(t, []string{"2", "3"}, g.bodies(gone))

		g.people.drop("bob", "B")
		g.people.tell("bob", identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED)
		await(t, "all goes", func() bool { return len(g.bodies(gone)) == 0 })
	})
}

// TestToDeviceThatWasUnderWayGoesToo writes a message after the removal of its device was followed.
func TestToDeviceThatWasUnderWayGoesToo(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			var ahead atomic.Int64
			g := newRigAt(t, open(t), nil, keys.Default(), func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
			alice, gone := g.login("alice", "A"), g.login("bob", "B")
			g.send(alice, "a", "1", to("bob", text("1"), "B"))
			g.people.setAsking(func() { // identity has said that the device is there
				g.people.remove("bob", "B")
				await(t, "the removal is followed", func() bool { return len(g.bodies(gone)) == 0 })
			})
			g.send(alice, "a", "2", to("bob", text("2"), "B"))
			require.Equal(t, []string{"2"}, g.bodies(gone))
			ahead.Store(int64(2 * time.Hour))
			g.people.rename("alice", "A", "whatever is news")
			await(t, "the message goes", func() bool { return len(g.bodies(gone)) == 0 })
		})
	}
}

func TestToDeviceTransactionsAreForgottenAfterDays(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.login("alice", "A"), g.login("bob", "B")
		log, err := eventlog.Open(t.Context(), g.db, eventlog.Schema{Name: "keys"}, eventlog.Config{})
		require.NoError(t, err)
		g.people.register("dave")
		both := mail{userID("bob"): {"B": text("x")}, userID("dave"): {"*": text("x")}}
		const kept = 72 * time.Hour
		before := time.Now()
		g.send(alice, "a", "1", both)
		after := time.Now()
		require.NoError(t, log.ExpireTxns(t.Context(), before.Add(kept-time.Millisecond)))
		g.login("dave", "D")
		g.send(alice, "a", "1", both)
		require.Equal(t, []string{"x"}, g.bodies(bob), "it is known")
		require.Empty(t, g.bodies(device{"dave", "D"}), "also of whom it did not reach")

		require.NoError(t, log.ExpireTxns(t.Context(), after.Add(kept)))
		require.Zero(t, g.txns())
		g.send(alice, "a", "1", both)
		require.Equal(t, []string{"x", "x"}, g.bodies(bob))
	})
}

// TestToDeviceNotesNobodyWhoDoesNotExist sends to many users who were made up.
func TestToDeviceNotesNobodyWhoDoesNotExist(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.login("alice", "A"), g.login("bob", "B")
		g.people.register("dave")
		many := mail{userID("bob"): {"B": text("x")}, userID("dave"): {"*": text("x")}, userID("carol"): {}}
		for i := range 2400 {
			many[userID(fmt.Sprint("nobody", i))] = map[string]any{"*": text("x")}
		}
		g.send(alice, "a", "1", many)
		require.Equal(t, 2, g.txns(), "of bob and dave")
		g.login("dave", "D")
		g.send(alice, "a", "1", many)
		require.Equal(t, 2, g.txns())
		require.Equal(t, []string{"x"}, g.bodies(bob))
		require.Empty(t, g.bodies(device{"dave", "D"}))
	})
}

// txns counts the transaction ids that are known.
func (g *rig) txns() (n int) {
	g.t.Helper()
	require.NoError(g.t, g.db.QueryRow(context.Background(), `SELECT count(*) FROM keys_txn`).Scan(&n))
	return n
}

// TestToDeviceTransactionsOfPeriods opens a database in which transactions have their period in their scopes, as before migration 2.
func TestToDeviceTransactionsOfPeriods(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			first := newRig(t, url, nil, keys.Default())
			alice, bob := first.login("alice", "A"), first.login("bob", "B")
			first.stop()
			exec := func(sql string, args ...any) {
				_, err := first.db.Exec(t.Context(), sql, args...)
				require.NoError(t, err)
			}
			period := time.Now().UnixMilli() / (72 * time.Hour).Milliseconds()
			for _, p := range []int64{period, period - 1} {
				for _, recipient := range []string{"@bob:hs", "@carol:hs"} {
					exec(`INSERT INTO keys_txn (scope, id, response) VALUES ($1, $2, $3)`,
						fmt.Sprintf("to_device|%08d|@alice:hs|A|a|%s", p, recipient), "1", []byte{})
				}
			}
			exec(`DROP TABLE uploaded_key`)
			exec(`DELETE FROM keys_service_migration WHERE version_id >= 2`)

			g := newRig(t, url, first, keys.Default())
			require.Equal(t, 2, g.txns())
			g.send(alice, "a", "1", to("bob", text("x"), "*"))
			require.Empty(t, g.bodies(bob), "it was sent before")
			log, err := eventlog.Open(t.Context(), g.db, eventlog.Schema{Name: "keys"}, eventlog.Config{})
			require.NoError(t, err)
			require.NoError(t, log.ExpireTxns(t.Context(), time.Now().Add(72*time.Hour)))
			require.Equal(t, 2, g.txns(), "it was known for one period at least")
			require.NoError(t, log.ExpireTxns(t.Context(), time.Now().Add(144*time.Hour)))
			require.Zero(t, g.txns(), "and for two at most")
		})
	}
}
