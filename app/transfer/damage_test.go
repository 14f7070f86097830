package transfer_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"hongyan/app/transfer"
)

// TestADamagedArchiveIsRefused cuts archives off and changes single bytes, packed and, as who packs it anew would, unpacked.
func TestADamagedArchiveIsRefused(t *testing.T) {
	from := newDeployment(t, "sqlite")
	from.fill(50)
	archive := from.backup()
	verify := func(archive []byte) error {
		_, err := transfer.Verify(t.Context(), bytes.NewReader(archive), nil)
		return err
	}
	require.NoError(t, verify(archive))
	for n := 0; n < len(archive); n += max(1, len(archive)/200) {
		require.Error(t, verify(archive[:n]), "cut off after %d of %d bytes", n, len(archive))
	}
	require.Error(t, verify(append(bytes.Clone(archive), 'x')))
	plain := unpack(t, archive)
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		broken := bytes.Clone(archive)
		i := r.IntN(len(broken))
		broken[i] ^= 1 << r.IntN(8)
		if verify(broken) == nil {
			require.Equal(t, plain, unpack(t, broken), "byte %d: a bit that does not matter", i)
		}
	}
	body := bytes.Index(plain, bytes.Repeat([]byte{7}, 100))
	require.Positive(t, body)
	changed := bytes.Clone(plain)
	changed[body+50] ^= 1
	require.ErrorIs(t, verify(pack(t, changed)), transfer.ErrDamaged)
	manifest := bytes.LastIndex(plain, []byte("manifest.json"))
	require.ErrorIs(t, verify(pack(t, plain[:manifest])), transfer.ErrDamaged)
	require.NoError(t, verify(pack(t, plain)))
	require.ErrorContains(t, verify(pack(t, bytes.Replace(plain, []byte(`"format": 1`), []byte(`"format": 9`), 1))), "format 9")
	require.ErrorIs(t, verify([]byte("nonsense")), transfer.ErrDamaged)

	to := newDeployment(t, "sqlite")
	require.ErrorIs(t, to.restore(archive[:len(archive)-10]), transfer.ErrDamaged)
	require.NoError(t, to.restore(archive))
}

func unpack(t testing.TB, archive []byte) []byte {
	t.Helper()
	r, err := zstd.NewReader(bytes.NewReader(archive))
	require.NoError(t, err)
	defer r.Close()
	plain, err := io.ReadAll(r)
	require.NoError(t, err)
	return plain
}

func pack(t testing.TB, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out)
	require.NoError(t, err)
	_, err = w.Write(plain)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// FuzzVerify reads what is no archive.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("hongyan.json"))
	f.Add(bytes.Repeat([]byte{0}, 1024))
	f.Fuzz(func(t *testing.T, plain []byte) {
		_, err := transfer.Verify(t.Context(), bytes.NewReader(pack(t, plain)), nil)
		require.Error(t, err)
	})
}
