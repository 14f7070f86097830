package keys_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/service/keys"
	"hongyan/test/pgtest"
)

// BenchmarkToDevice measures PUT sendToDevice over HTTP, on SQLite and on PostgreSQL that waits for the disk: one sender to many devices of
// many users, and many senders to one device each. It reports messages a second.
func BenchmarkToDevice(b *testing.B) {
	for _, name := range []string{"sqlite", "postgres"} {
		for _, c := range []struct{ senders, users, devices int }{{1, 1, 1}, {1, 20, 1}, {1, 100, 5}, {16, 1, 1}, {64, 1, 1}, {64, 10, 2}} {
			b.Run(fmt.Sprintf("%s/senders=%d/users=%d/devices=%d", name, c.senders, c.users, c.devices), func(b *testing.B) {
				benchToDevice(b, name, c.senders, c.users, c.devices)
			})
		}
	}
}

// benchToDevice has each sender send to users of its own. The processor time is this process's: PostgreSQL's comes on top.
func benchToDevice(b *testing.B, database string, senders, users, devices int) {
	logx.Disable()
	url := databases["sqlite"](b)
	if database == "postgres" {
		url = pgtest.StartDurable(b)
	}
	g := newRig(b, url, nil, keys.Default())
	content := map[string]any{"algorithm": "m.olm.v1.curve25519-aes-sha2", "ciphertext": fmt.Sprintf("%01000d", 1)}
	mails := make([]mail, senders)
	for s := range senders {
		mails[s] = mail{}
		for u := range users {
			user := fmt.Sprintf("u%d-%d", s, u)
			for d := range devices {
				g.login(user, fmt.Sprint("D", d))
			}
			mails[s][userID(user)] = map[string]any{"*": content}
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	start := cpuTime(b)
	b.ResetTimer()
	for s := range senders {
		wg.Go(func() {
			d := device{fmt.Sprint("s", s), "S"}
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if status, body, err := tryToDevice(g.url, d, "m.room.encrypted", fmt.Sprint(i), mails[s]); err != nil || status != 200 {
					b.Error(status, body, err)
					return
				}
			}
		})
	}
	wg.Wait()
	n := float64(b.N) * float64(users*devices)
	b.ReportMetric(n/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/n, "cpu-µs/message")
}

// cpuTime is what the process has used of all cores.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
