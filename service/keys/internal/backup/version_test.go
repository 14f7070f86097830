package backup_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersions(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.fails(404, "M_NOT_FOUND", "GET", "version", nil)
		require.Equal(t, "1", g.create())
		require.Equal(t, "2", g.create())
		require.Equal(t, "1", g.as("@bob:hs").create(), "every user counts for himself")
		require.Equal(t, object{
			"algorithm": algorithm, "auth_data": authData(), "count": 0.0, "etag": "0", "version": "2",
		}, g.ok("GET", "version", nil))
		require.Equal(t, "1", g.ok("GET", "version/1", nil)["version"])

		g.ok("DELETE", "version/2", nil)
		require.Equal(t, "1", g.ok("GET", "version", nil)["version"], "the newest that is left is current")
		g.ok("DELETE", "version/2", nil)
		g.fails(404, "M_NOT_FOUND", "GET", "version/2", nil)
		require.Equal(t, "3", g.create(), "no version comes back")
		g.ok("DELETE", "version/1", nil)
		g.ok("DELETE", "version/3", nil)
		g.fails(404, "M_NOT_FOUND", "GET", "version", nil)
		require.Equal(t, "4", g.create())
		require.Equal(t, "1", g.as("@bob:hs").ok("GET", "version", nil)["version"])
	})
}

func TestAuthDataChanges(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		old, version := g.create(), g.create()
		g.ok("PUT", at(version, "!a:hs", "s"), rank{}.key("x"))
		count, etag := g.state(version)
		for _, change := range []struct {
			version string
			body    object
		}{
			{version, object{"algorithm": algorithm, "auth_data": object{"public_key": "YQ", "more": 1.0}}},
			{version, object{"algorithm": algorithm, "auth_data": object{"public_key": "Yg"}, "version": version}},
			{old, object{"algorithm": algorithm, "auth_data": object{"public_key": "Yw"}, "version": old}},
		} {
			require.Equal(t, object{}, g.ok("PUT", "version/"+change.version, change.body))
			require.Equal(t, change.body["auth_data"], g.ok("GET", "version/"+change.version, nil)["auth_data"])
		}
		countNow, etagNow := g.state(version)
		require.Equal(t, count, countNow)
		require.Equal(t, etag, etagNow, "the keys are the same")
	})
}

func TestOtherAlgorithms(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		body := object{"algorithm": "m.megolm_backup.v1", "auth_data": object{"foo": "bar"}}
		g.ok("POST", "version", body)
		answer := g.ok("GET", "version", nil)
		require.Equal(t, body["algorithm"], answer["algorithm"])
		require.Equal(t, body["auth_data"], answer["auth_data"])
		g.fails(400, "M_INVALID_PARAM", "PUT", "version/1", object{"algorithm": algorithm, "auth_data": authData()})
	})
}

func TestRepeatedCreationMakesOneVersion(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.request = "r1"
		require.Equal(t, "1", g.create())
		require.Equal(t, "1", g.create(), "the gateway repeats a request whose answer was lost")
		require.Equal(t, "1", g.as("@bob:hs").create())
		g.request = "r2"
		require.Equal(t, "2", g.create())
		require.Equal(t, 3, g.rows("backup_version"))
	})
}

func TestConcurrentCreationsAreNumbered(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		other := g.instance(t)
		answers := make(chan string, 40)
		for i := range cap(answers) {
			at := []*rig{g, other}[i%2]
			go func() {
				_, text, err := at.try("POST", "version", object{"algorithm": algorithm, "auth_data": authData()})
				if err != nil {
					text = []byte(err.Error())
				}
				answers <- string(text)
			}()
		}
		seen := map[string]bool{}
		for range cap(answers) {
			seen[<-answers] = true
		}
		require.Len(t, seen, cap(answers))
		require.Equal(t, "40", g.ok("GET", "version", nil)["version"])
	})
}
