package registry

import (
	"context"
	"reflect"
	"slices"
	"sync"
)

// Watches are the running Watch calls of an implementation, which all see the same lists. The zero value has none.
type Watches struct {
	mu     sync.Mutex
	known  bool // a list was published
	newest []Instance
	all    map[chan []Instance]struct{}
}

// Add begins a watch, with the newest list if there is one. Its channel holds the newest list only, and is closed by a
// goroutine of running when ctx or closing ends.
func (w *Watches) Add(ctx context.Context, closing <-chan struct{}, running *sync.WaitGroup) <-chan []Instance {
	lists := make(chan []Instance, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[chan []Instance]struct{}{}
	}
	w.all[lists] = struct{}{}
	if w.known {
		lists <- slices.Clone(w.newest)
	}
	running.Go(func() {
		select {
		case <-ctx.Done():
		case <-closing:
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, lists)
		close(lists)
	})
	return lists
}

// Publish sends a list to all watches, in order, unless it is the same as the last one. It keeps the list.
func (w *Watches) Publish(list []Instance) {
	slices.SortFunc(list, Compare)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known && reflect.DeepEqual(list, w.newest) {
		return
	}
	w.known, w.newest = true, list
	for lists := range w.all {
		select {
		case <-lists: // an older list that nobody has read
		default:
		}
		lists <- slices.Clone(list)
	}
}

// Newest returns the list that was published last, which must not be changed, and whether there is one.
func (w *Watches) Newest() (list []Instance, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest, w.known
}
