package picture

import (
	"fmt"
	"strconv"
	"strings"
)

// Methods of making a picture smaller.
const (
	// Scale fits the whole picture into the size.
	Scale = "scale"
	// Crop fills the size and cuts off the rest.
	Crop = "crop"
)

// MaxSide is the longest side of what is made.
const MaxSide = 2048

// Size is what is made of a picture.
type Size struct {
	Width, Height int
	Method        string
}

// ParseSize reads "320x240 scale".
func ParseSize(text string) (Size, error) {
	dimensions, method, ok := strings.Cut(strings.TrimSpace(text), " ")
	w, h, cut := strings.Cut(dimensions, "x")
	width, err1 := strconv.Atoi(w)
	height, err2 := strconv.Atoi(h)
	s := Size{width, height, strings.TrimSpace(method)}
	if !ok || !cut || err1 != nil || err2 != nil || s.Method != Scale && s.Method != Crop ||
		width < 1 || height < 1 || width > MaxSide || height > MaxSide {
		return Size{}, fmt.Errorf("size %q: want one such as %q or %q, with sides of 1 to %d", text, "320x240 scale", "96x96 crop", MaxSide)
	}
	return s, nil
}

// Choose returns the smallest of the sizes that is not smaller than what is asked for; of those that crop, one of the right shape
// first. Where no size crops so much, one that scales does. False says that all are smaller; then it is the largest.
func Choose(sizes []Size, asked Size) (Size, bool) {
	var best, largest Size
	rank := -1
	for _, s := range sizes {
		if s.area() > largest.area() {
			largest = s
		}
		if s.Width < asked.Width || s.Height < asked.Height {
			continue
		}
		r := 0
		switch {
		case s.Method != asked.Method && asked.Method == Scale:
			continue // a part of the picture is not the picture
		case s.Method == asked.Method && s.Width*asked.Height == s.Height*asked.Width:
			r = 2
		case s.Method == asked.Method:
			r = 1
		}
		if r > rank || r == rank && s.area() < best.area() {
			best, rank = s, r
		}
	}
	if rank < 0 {
		return largest, false
	}
	return best, true
}

func (s Size) area() int { return s.Width * s.Height }

// Holds tells whether a picture is no larger than the size: then it is as small as it shall be.
func (s Size) Holds(i Info) bool { return i.Width <= s.Width && i.Height <= s.Height }

// plan is which part of a picture becomes a picture of which size.
type plan struct{ fromW, fromH, toW, toH int }

// plan never enlarges.
func (s Size) plan(i Info) plan {
	w, h, scale := float64(i.Width), float64(i.Height), 1.0
	byW, byH := float64(s.Width)/w, float64(s.Height)/h
	if s.Method == Crop {
		scale = min(scale, max(byW, byH))
		p := plan{toW: min(s.Width, round(w*scale)), toH: min(s.Height, round(h*scale))}
		p.fromW, p.fromH = min(i.Width, round(float64(p.toW)/scale)), min(i.Height, round(float64(p.toH)/scale))
		return p
	}
	scale = min(scale, byW, byH)
	return plan{i.Width, i.Height, min(s.Width, round(w*scale)), min(s.Height, round(h*scale))}
}

func round(f float64) int { return max(1, int(f+0.5)) }
