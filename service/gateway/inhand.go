package gateway

import (
	"net/http"
	"sync"
)

// inHand counts the requests that are being answered.
type inHand struct {
	mu      sync.Mutex
	current *generation
}

// generation is the requests that came between two turns.
type generation struct {
	n        int
	turned   bool
	answered chan struct{} // closed when nothing comes any more and all are answered
}

// count counts the requests of a handler. What it takes over from net/http is not counted any longer.
func (i *inHand) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lot := i.enter()
		defer i.leave(lot)
		next.ServeHTTP(w, r)
	})
}

// turn returns a channel that is closed when all requests are answered that are in hand now.
func (i *inHand) turn() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	lot := i.currentLocked()
	i.current = nil
	lot.turned = true
	lot.checkLocked()
	return lot.answered
}

func (i *inHand) enter() *generation {
	i.mu.Lock()
	defer i.mu.Unlock()
	lot := i.currentLocked()
	lot.n++
	return lot
}

func (i *inHand) leave(lot *generation) {
	i.mu.Lock()
	defer i.mu.Unlock()
	lot.n--
	lot.checkLocked()
}

func (i *inHand) currentLocked() *generation {
	if i.current == nil {
		i.current = &generation{answered: make(chan struct{})}
	}
	return i.current
}

func (l *generation) checkLocked() {
	if l.turned && l.n == 0 {
		close(l.answered)
	}
}
