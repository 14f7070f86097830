package keys_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	keyspb "hongyan/api/keys"
	"hongyan/service/keys"
	"hongyan/test/pgtest"
)

// BenchmarkClaim claims one-time keys of many users at once, one a claim, without a network: on SQLite, and on PostgreSQL that does not
// wait for the disk and that does.
func BenchmarkClaim(b *testing.B) {
	for _, d := range []struct {
		name string
		open func(testing.TB) string
	}{{"sqlite", databases["sqlite"]}, {"postgres", databases["postgres"]}, {"durable", pgtest.StartDurable}} {
		b.Run(d.name, func(b *testing.B) { benchmarkClaim(b, d.open(b), 200, 1) })
		b.Run(d.name+"/10_devices", func(b *testing.B) { benchmarkClaim(b, d.open(b), 50, 10) })
	}
}

func benchmarkClaim(b *testing.B, url string, users, devices int) {
	g := newRig(b, url, nil, keys.Default())
	each := b.N/users + 2
	require.LessOrEqual(b, each, keys.Default().MaxOneTimeKeys, "use a smaller -benchtime")
	reqs := make([]*keyspb.ClaimRequest, users)
	for i := range reqs {
		user := fmt.Sprintf("u%d", i)
		reqs[i] = &keyspb.ClaimRequest{UserId: userID(user)}
		for n := range devices {
			d := g.login(user, fmt.Sprintf("D%d", n))
			for first := 0; first < each; first += 100 {
				all := object{}
				for k := first; k < min(first+100, each); k++ {
					all[fmt.Sprintf("%s:%d", curve, k)] = oneTime(d, fmt.Sprint(k))
				}
				g.ok(d, "/keys/upload", object{"one_time_keys": all})
			}
			reqs[i].Devices = append(reqs[i].Devices, &keyspb.DeviceAlgorithm{DeviceId: d.id, Algorithm: curve})
		}
	}
	var next atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := int(next.Add(1))
			resp, err := g.client.Claim(context.Background(), reqs[n%users])
			if err != nil || len(resp.GetKeys()) != devices {
				b.Errorf("claim: %v, %d keys", err, len(resp.GetKeys()))
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N*devices)/b.Elapsed().Seconds(), "keys/s")
}

// BenchmarkQuery asks for the keys of many users with two devices each, over HTTP.
func BenchmarkQuery(b *testing.B) {
	for name, open := range databases {
		b.Run(name, func(b *testing.B) {
			g := newRig(b, open(b), nil, keys.Default())
			var users []string
			for i := range 250 {
				user := fmt.Sprintf("u%d", i)
				users = append(users, user)
				for _, id := range []string{"A", "B"} {
					d := g.login(user, id)
					g.ok(d, "/keys/upload", object{"device_keys": deviceKeys(b, d, newSigningKey())})
				}
				g.ok(device{user, "A"}, deviceSigning, newCross(user).upload(b))
			}
			for b.Loop() {
				g.query(device{"u0", "A"}, users...)
			}
			b.ReportMetric(float64(b.N*len(users))/b.Elapsed().Seconds(), "users/s")
		})
	}
}

// BenchmarkUpload uploads 50 one-time keys at once.
func BenchmarkUpload(b *testing.B) {
	for name, open := range databases {
		b.Run(name, func(b *testing.B) {
			g := newRig(b, open(b), nil, keys.Default())
			var next atomic.Int64
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				d := g.login(fmt.Sprintf("u%d", next.Add(1)), "A")
				for n := 0; pb.Next(); n++ {
					if n%15 == 0 {
						d = g.login(d.user, fmt.Sprintf("A%d", n))
					}
					all := object{}
					for k := range 50 {
						all[fmt.Sprintf("%s:%d-%d", curve, n, k)] = oneTime(d, "k")
					}
					g.ok(d, "/keys/upload", object{"one_time_keys": all})
				}
			})
		})
	}
}
