package keys

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	keyspb "hongyan/api/keys"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/platform/rpc"
	"hongyan/service/keys/internal/store"
)

// claimParallel is how many users' keys one request claims at once.
const claimParallel = 16

// Pauses before an owner that failed is asked again.
const (
	firstClaimPause = 50 * time.Millisecond
	mostClaimPause  = time.Second
)

// postClaim is POST /keys/claim. Each user's keys are claimed from the instance that owns the user.
func (s *Service) postClaim(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		OneTimeKeys map[string]map[string]string `json:"one_time_keys"`
	}
	if err := httpx.ReadJSON(r, &body); err != nil {
		return err
	}
	if body.OneTimeKeys == nil {
		return matrix.NewError(matrix.CodeMissingParam, "one_time_keys is missing.")
	}
	devices := 0
	for _, of := range body.OneTimeKeys {
		devices += len(of)
	}
	if devices > s.cfg.ClaimDevices {
		return matrix.Errorf(matrix.CodeInvalidParam, "one_time_keys has more than %d devices.", s.cfg.ClaimDevices)
	}
	local, servers, err := s.split(slices.Collect(maps.Keys(body.OneTimeKeys)))
	if err != nil {
		return err
	}
	claimed, err := s.claimAll(r.Context(), local, body.OneTimeKeys)
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"one_time_keys": claimed, "failures": failures(servers)})
	return nil
}

// claimAll claims keys of users from their owners: by user, device, and name of the key. Keys that one owner has handed out are
// gone whatever becomes of the others: a user whose owner fails for as long as there is time is left out, as one who has no keys, and
// may be asked for again. Only where nothing at all was handed out it is an error. An owner that does not answer in time must not keep the
// others' keys from the client. Keys that an owner took and could not tell of any more are lost; their devices see that fewer
// are left and upload others.
func (s *Service) claimAll(
	ctx context.Context, users []string, wanted map[string]map[string]string,
) (map[string]map[string]map[string]json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ClaimTimeout)
	defer cancel()
	claimed := map[string]map[string]map[string]json.RawMessage{}
	var failed error
	leftOut := 0
	var mu sync.Mutex
	var group sync.WaitGroup
	places := make(chan struct{}, claimParallel)
	for _, user := range users {
		if len(wanted[user]) == 0 {
			continue
		}
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			byDevice, err := s.claimOf(ctx, user, wanted[user])
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed, leftOut = err, leftOut+1
			}
			if len(byDevice) > 0 {
				claimed[user] = byDevice
			}
		})
	}
	group.Wait()
	if failed == nil || len(claimed) == 0 {
		return claimed, failed
	}
	logx.WithContext(ctx).Errorf("keys: %d of %d users were left out of a claim: %v", leftOut, len(users), failed)
	return claimed, nil
}

// claimOf claims keys of one user's devices from the owner: by device, and name of the key.
func (s *Service) claimOf(ctx context.Context, user string, wanted map[string]string) (map[string]map[string]json.RawMessage, error) {
	req := &keyspb.ClaimRequest{UserId: user}
	for device, algorithm := range wanted {
		req.Devices = append(req.Devices, &keyspb.DeviceAlgorithm{DeviceId: device, Algorithm: algorithm})
	}
	resp, err := s.deps.Keys.Claim(rpc.WithKey(ctx, user), req)
	for pause := firstClaimPause; err != nil && matrix.AsError(err).Status == http.StatusServiceUnavailable; pause = min(2*pause, mostClaimPause) {
		// Another owner may be found soon. Who is left out cannot read the messages that follow.
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
		resp, err = s.deps.Keys.Claim(rpc.WithKey(ctx, user), req)
	}
	if err != nil {
		return nil, err
	}
	byDevice := map[string]map[string]json.RawMessage{}
	for _, k := range resp.GetKeys() {
		byDevice[k.GetDeviceId()] = map[string]json.RawMessage{k.GetKeyId(): k.GetKey()}
	}
	return byDevice, nil
}

// Claim implements keyspb.KeysServer.
func (g keysServer) Claim(ctx context.Context, req *keyspb.ClaimRequest) (*keyspb.ClaimResponse, error) {
	if len(req.GetDevices()) > g.s.cfg.ClaimDevices {
		return nil, matrix.Errorf(matrix.CodeInvalidParam, "More than %d devices.", g.s.cfg.ClaimDevices)
	}
	claimed, err := g.s.claim(ctx, req.GetUserId(), req.GetDevices())
	if err != nil {
		return nil, apiError(err)
	}
	resp := &keyspb.ClaimResponse{Keys: make([]*keyspb.ClaimedKey, len(claimed.oneTime), len(claimed.oneTime)+len(claimed.fallback))}
	for i, k := range claimed.oneTime {
		resp.Keys[i] = &keyspb.ClaimedKey{DeviceId: k.DeviceID, KeyId: k.Algorithm + ":" + k.KeyID, Key: k.JSON}
	}
	for _, k := range claimed.fallback {
		resp.Keys = append(resp.Keys, &keyspb.ClaimedKey{
			DeviceId: k.DeviceID, KeyId: k.Algorithm + ":" + k.KeyID, Key: k.JSON, Fallback: true,
		})
	}
	g.s.metrics.oneTime.Add(float64(len(claimed.oneTime)))
	g.s.metrics.fallback.Add(float64(len(claimed.fallback)))
	g.s.metrics.none.Add(float64(len(req.GetDevices()) - len(resp.Keys)))
	return resp, nil
}

// handout are keys to hand out.
type handout struct{ oneTime, fallback []store.Key }

// claim takes keys of a user's devices.
func (s *Service) claim(ctx context.Context, userID string, wanted []*keyspb.DeviceAlgorithm) (c handout, err error) {
	var devices, algorithms []string
	asked := map[[2]string]bool{}
	for _, w := range wanted {
		of := [2]string{w.GetDeviceId(), w.GetAlgorithm()}
		if !asked[of] {
			asked[of] = true
			devices, algorithms = append(devices, of[0]), append(algorithms, of[1])
		}
	}
	leave, err := s.turns.enter(ctx, userID)
	if err != nil {
		return handout{}, err
	}
	defer leave()
	err = s.retry(ctx, func(ctx context.Context) error {
		c, err = s.tryClaim(ctx, userID, devices, algorithms)
		return err
	})
	return c, err
}

// tryClaim takes keys; it fails with eventlog.ErrConflict where somebody else has taken one of them meanwhile.
func (s *Service) tryClaim(ctx context.Context, userID string, devices, algorithms []string) (c handout, err error) {
	if c.oneTime, err = s.store.Oldest(ctx, userID, devices, algorithms); err != nil {
		return handout{}, err
	}
	if len(c.oneTime) < len(devices) {
		have := map[[2]string]bool{}
		for _, k := range c.oneTime {
			have[[2]string{k.DeviceID, k.Algorithm}] = true
		}
		var of, by []string
		for i := range devices {
			if !have[[2]string{devices[i], algorithms[i]}] {
				of, by = append(of, devices[i]), append(by, algorithms[i])
			}
		}
		if c.fallback, err = s.store.Fallbacks(ctx, userID, of, by); err != nil {
			return handout{}, err
		}
	}
	return c, s.take(ctx, userID, c)
}

// take writes that keys are handed out.
func (s *Service) take(ctx context.Context, userID string, c handout) error {
	fresh := slices.DeleteFunc(slices.Clone(c.fallback), func(k store.Key) bool { return k.Used })
	var statements []eventlog.Statement
	if len(c.oneTime) > 0 {
		statements = append(statements, store.Take(userID, c.oneTime))
	}
	if len(fresh) > 0 {
		statements = append(statements, store.MarkUsed(userID, fresh))
	}
	if len(statements) == 0 {
		return nil
	}
	stream, err := s.userStreams.of(ctx, userID)
	if err != nil {
		return err
	}
	var entries []eventlog.Entry
	changed := map[string]bool{}
	for _, k := range slices.Concat(c.oneTime, fresh) {
		if changed[k.DeviceID] {
			continue
		}
		changed[k.DeviceID] = true
		entry, err := countsEntry(k.DeviceID)
		if err != nil {
			return err
		}
		entries = append(entries, entry)
	}
	_, err = s.users.Append(ctx, eventlog.Append{
		Stream: stream, Expect: eventlog.AnySeq, Entries: entries, Statements: statements,
	})
	return err
}
