package keys_test

import (
	"context"
	"encoding/json"
	"math"
	"net/http"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	keyspb "hongyan/api/keys"
	"hongyan/service/keys"
)

// mail is the contents of a request by user and device.
type mail map[string]map[string]any

// to is the mail to devices of one user, the same for all.
func to(user string, content any, devices ...string) mail {
	m := map[string]any{}
	for _, id := range devices {
		m[id] = content
	}
	return mail{userID(user): m}
}

// tryToDevice sends messages; it may be called on any goroutine.
func tryToDevice(url string, d device, eventType, txn string, messages mail) (status int, body string, err error) {
	raw, err := json.Marshal(map[string]any{"messages": messages})
	if err != nil {
		return 0, "", err
	}
	return putRaw(url, d, eventType, txn, raw)
}

// send sends messages, which must succeed.
func (g *rig) send(d device, eventType, txn string, messages mail) {
	g.t.Helper()
	status, body, err := tryToDevice(g.url, d, eventType, txn, messages)
	require.NoError(g.t, err)
	require.Equal(g.t, http.StatusOK, status, body)
	require.Equal(g.t, "{}", body)
}

// waiting reads what waits for a device after a position and through another one, all of it.
func (g *rig) waiting(d device, after, through int64) []*keyspb.PositionedMessage {
	g.t.Helper()
	var all []*keyspb.PositionedMessage
	for {
		resp, err := g.client.ToDevice(context.Background(), &keyspb.ToDeviceRequest{
			UserId: userID(d.user), DeviceId: d.id, After: after, Through: through,
		})
		require.NoError(g.t, err)
		for _, m := range resp.GetMessages() {
			require.Greater(g.t, m.GetPosition(), after)
			after = m.GetPosition()
		}
		all = append(all, resp.GetMessages()...)
		if !resp.GetMore() {
			return all
		}
	}
}

// bodies are the members "body" of the contents of all messages that wait for a device.
func (g *rig) bodies(d device) []string {
	g.t.Helper()
	list := []string{}
	for _, m := range g.waiting(d, 0, 0) {
		list = append(list, gjson.GetBytes(m.GetMessage(), "content.body").String())
	}
	return list
}

// acknowledge says that a device has got its messages through a position.
func (g *rig) acknowledge(d device, through int64) {
	g.t.Helper()
	_, err := g.client.Acknowledge(context.Background(), &keyspb.AcknowledgeRequest{
		UserId: userID(d.user), DeviceId: d.id, Through: through,
	})
	require.NoError(g.t, err)
}

// take reads all that waits for a device and acknowledges it.
func (g *rig) take(d device) []string {
	g.t.Helper()
	list := g.bodies(d)
	g.acknowledge(d, math.MaxInt64)
	return list
}

// text is a content.
func text(body string) map[string]any { return map[string]any{"body": body} }

// smallQueues is a configuration with queues of a few messages, which are measured with each message.
func smallQueues(messages int, bytes int64) keys.Config {
	cfg := keys.Default()
	cfg.ToDevice.QueueMessages, cfg.ToDevice.QueueBytes = messages, bytes
	cfg.ToDevice.MessageBytes = min(cfg.ToDevice.MessageBytes, int(bytes))
	return cfg
}
