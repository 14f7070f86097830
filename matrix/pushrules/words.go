package pushrules

import (
	"encoding/binary"

	"hongyan/matrix/internal/glob"
)

// Words is a set of words that may say yes to a word that it does not have (a Bloom filter). It is stored: its shape
// never changes.
type Words [4]uint64

// wordsOf is the set of the words of a text in lower case. Words are runs of what no boundary is within.
func wordsOf(s string) Words {
	var w Words
	eachWord(s, func(word string) bool {
		a, b := wordBits(word)
		w[a/64] |= 1 << (a % 64)
		w[b/64] |= 1 << (b % 64)
		return true
	})
	return w
}

// mayHave tells whether a text with these words can have another text, in lower case, between word boundaries.
func (w *Words) mayHave(s string) bool {
	may := true
	eachWord(s, func(word string) bool {
		a, b := wordBits(word)
		may = w[a/64]&(1<<(a%64)) != 0 && w[b/64]&(1<<(b%64)) != 0
		return may
	})
	return may
}

func eachWord(s string, f func(word string) bool) {
	start := -1
	for i := 0; i <= len(s); i++ {
		switch in := i < len(s) && glob.IsWord(s[i]); {
		case in && start < 0:
			start = i
		case !in && start >= 0:
			if !f(s[start:i]) {
				return
			}
			start = -1
		}
	}
}

// wordBits are the two of 256 bits that stand for a word: FNV-1a, mixed.
func wordBits(word string) (a, b uint64) {
	h := uint64(14695981039346656037)
	for i := range len(word) {
		h = (h ^ uint64(word[i])) * 1099511628211
	}
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	return h >> 56, h >> 48 & 255
}

// Bytes encodes the set, nothing for the empty one.
func (w *Words) Bytes() []byte {
	if *w == (Words{}) {
		return nil
	}
	b := make([]byte, 0, 32)
	for _, v := range w {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// ParseWords reads what Bytes wrote. Of what cannot be read every word may be part.
func ParseWords(b []byte) (w Words) {
	switch len(b) {
	case 0:
	case 32:
		for i := range w {
			w[i] = binary.LittleEndian.Uint64(b[8*i:])
		}
	default:
		for i := range w {
			w[i] = ^uint64(0)
		}
	}
	return w
}
