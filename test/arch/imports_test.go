package arch_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rule forbids imports. The first rule that a file breaks is told with its reason.
type rule struct {
	name string
	// from tells which packages it binds, by their path below the module.
	from func(pkg string) bool
	// forbids tells which imports it does not allow; own ones come without the module's name, others with own false.
	forbids func(pkg, imported string, own bool) bool
	reason  string
	// tests says that it binds test files too.
	tests bool
}

func below(folder string) func(string) bool {
	return func(pkg string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }
}

func anywhere(string) bool { return true }

// service returns the service that a package belongs to, or "".
func service(pkg string) string {
	rest, ok := strings.CutPrefix(pkg, "service/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// top returns the first folder of a package.
func top(pkg string) string {
	name, _, _ := strings.Cut(pkg, "/")
	return name
}

func oneOf(names ...string) func(string) bool {
	return func(name string) bool {
		for _, n := range names {
			if n == name {
				return true
			}
		}
		return false
	}
}

var rules = []rule{
	{
		name: "matrix imports nobody of the house", from: below("matrix"), tests: true,
		forbids: func(_, imported string, own bool) bool { return own && top(imported) != "matrix" },
		reason:  "the protocol is pure: it can be tested and read without the server around it",
	},
	{
		name: "matrix does no I/O", from: below("matrix"),
		forbids: func(_, imported string, own bool) bool {
			return !own && oneOf("net", "os", "database/sql", "io/fs", "os/exec", "syscall", "google.golang.org/grpc")(imported)
		},
		reason: "what the protocol says does not depend on where bytes come from",
	},
	{
		name: "api has no logic", from: below("api"),
		forbids: func(_, imported string, own bool) bool { return own && top(imported) != "api" },
		reason:  "generated code is shared by all services",
	},
	{
		name: "platform knows no domain", from: below("platform"),
		forbids: func(_, imported string, own bool) bool {
			if !own {
				return false
			}
			// rpc carries errors as a message of api/common; logs are followed over api/log, the topology is told over api/node.
			return !oneOf("platform", "matrix", "api")(top(imported)) ||
				(top(imported) == "api" && !oneOf("api/common", "api/log", "api/node")(imported)) ||
				strings.HasPrefix(imported, "matrix/") && !strings.HasPrefix(imported, "matrix/canonicaljson")
		},
		reason: "platform → matrix only for ids and errors: what is technical must not depend on the product",
	},
	{
		name: "a service never imports another", from: below("service"), tests: true,
		forbids: func(pkg, imported string, own bool) bool {
			return own && service(imported) != "" && service(imported) != service(pkg)
		},
		reason: "services call each other over api/, so that they can run in different processes",
	},
	{
		name: "services stand on api, platform and matrix", from: below("service"),
		forbids: func(_, imported string, own bool) bool {
			return own && !oneOf("api", "platform", "matrix", "service")(top(imported))
		},
		reason: "cmd → app → service → {api, platform, matrix}",
	},
	{
		name:    "only app builds services",
		from:    func(pkg string) bool { return !below("app")(pkg) && !below("service")(pkg) && !below("test")(pkg) },
		forbids: func(_, imported string, own bool) bool { return own && below("service")(imported) },
		reason:  "the composition root is the one place where services meet",
	},
	{
		name: "nobody imports app but the command", tests: true,
		from:    func(pkg string) bool { return !below("app")(pkg) && !below("cmd")(pkg) && !below("test")(pkg) },
		forbids: func(_, imported string, own bool) bool { return own && below("app")(imported) },
		reason:  "arrows point down",
	},
	{
		name: "the load generator knows the public API only", from: below("bench"), tests: true,
		forbids: func(_, imported string, own bool) bool { return own && !oneOf("bench", "matrix")(top(imported)) },
		reason:  "it works against any homeserver",
	},
	{
		name: "only httpx forwards requests", from: func(pkg string) bool { return below("service")(pkg) },
		forbids: func(_, imported string, own bool) bool { return !own && imported == "net/http/httputil" },
		reason:  "requests are forwarded by httpx.Forward, which keeps to the trusted hop",
	},
	{
		name: "SQL goes through sqldb", from: func(pkg string) bool { return below("service")(pkg) },
		forbids: func(_, imported string, own bool) bool {
			return !own && (imported == "database/sql" || strings.HasPrefix(imported, "github.com/jackc/pgx") ||
				strings.HasPrefix(imported, "modernc.org/sqlite"))
		},
		reason: "SQL is written once for both databases",
	},
	{
		name: "no second HTTP framework, no second logger", from: anywhere,
		forbids: func(pkg, imported string, own bool) bool {
			// The embedded etcd takes no other logger; etcdserver hands what it says to logx.
			if pkg == "platform/registry/etcd/etcdserver" && imported == "go.uber.org/zap" {
				return false
			}
			return !own && oneOf("log/slog", "github.com/gin-gonic/gin", "github.com/gorilla/mux", "go.uber.org/zap")(imported)
		},
		reason: "go-zero's rest and logx are the house's",
	},
	{
		name: "test tools stay in tests", from: func(pkg string) bool {
			return !below("test")(pkg) && !strings.HasSuffix(pkg, "test")
		},
		forbids: func(_, imported string, own bool) bool {
			return own && below("test")(imported) || !own && (imported == "testing" ||
				strings.HasPrefix(imported, "github.com/stretchr/testify") || strings.HasPrefix(imported, "maunium.net/go/mautrix"))
		},
		reason: "the binary holds no test code",
	},
}

func TestImportsPointDown(t *testing.T) {
	all := sources(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			bound := 0
			for _, s := range all {
				if (s.test && !r.tests) || !r.from(s.pkg) {
					continue
				}
				bound++
				for _, imported := range s.imports {
					short, own := strings.CutPrefix(imported, module+"/")
					require.Falsef(t, r.forbids(s.pkg, short, own), "%s imports %s: %s", s.path, imported, r.reason)
				}
			}
			require.NotZero(t, bound, "the rule binds nobody: it is out of date")
		})
	}
}

// TestRulesForbid proves that each rule can fail.
func TestRulesForbid(t *testing.T) {
	tests := []struct {
		rule, pkg, imported string
		own                 bool
	}{
		{"matrix imports nobody of the house", "matrix/event", "platform/obs", true},
		{"matrix does no I/O", "matrix", "net", false},
		{"api has no logic", "api/room", "matrix", true},
		{"platform knows no domain", "platform/rpc", "service/room", true},
		{"platform knows no domain", "platform/rpc", "api/room", true},
		{"platform knows no domain", "platform/eventlog", "matrix/event", true},
		{"a service never imports another", "service/sync/internal/live", "service/room", true},
		{"services stand on api, platform and matrix", "service/room", "app", true},
		{"only app builds services", "platform/httpx", "service/gateway", true},
		{"nobody imports app but the command", "service/room", "app", true},
		{"the load generator knows the public API only", "bench", "service/room", true},
		{"only httpx forwards requests", "service/gateway", "net/http/httputil", false},
		{"SQL goes through sqldb", "service/room/internal/store", "database/sql", false},
		{"no second HTTP framework, no second logger", "app", "log/slog", false},
		{"no second HTTP framework, no second logger", "platform/registry/etcd", "go.uber.org/zap", false},
		{"test tools stay in tests", "service/room", "github.com/stretchr/testify/require", false},
	}
	covered := map[string]bool{}
	for _, tt := range tests {
		for _, r := range rules {
			if r.name == tt.rule {
				covered[r.name] = true
				require.True(t, r.from(tt.pkg), tt)
				require.True(t, r.forbids(tt.pkg, tt.imported, tt.own), tt)
			}
		}
	}
	require.Len(t, covered, len(rules))
}
