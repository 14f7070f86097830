package media_test

import (
	"testing"

	"hongyan/platform/obs/obstest"
)

func TestMain(m *testing.M) { obstest.Main(m) }
