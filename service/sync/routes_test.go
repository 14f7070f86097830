package sync_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/sync"
)

// What is not found when it comes a second time is sent once.
func TestWhatIsSentOnce(t *testing.T) {
	var once []string
	for _, r := range sync.Routes() {
		if r.Once {
			once = append(once, r.Method+" "+r.Path)
		}
	}
	require.Equal(t, []string{"DELETE /_matrix/client/v3/pushrules/global/{kind}/{ruleId}"}, once)
}
