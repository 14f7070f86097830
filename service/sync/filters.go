package sync

import (
	"context"
	"net/http"
	"sync"

	"hongyan/matrix"
	"hongyan/matrix/filter"
	"hongyan/platform/httpx"
)

// maxCachedFilters bounds the parsed filters in memory.
const maxCachedFilters = 4096

// filterCache keeps stored filters parsed. A stored filter never changes.
type filterCache struct {
	standard *filter.Filter

	mu   sync.RWMutex
	byID map[filterName]*filter.Filter
}

type filterName struct{ user, id string }

func (c *filterCache) get(name filterName) *filter.Filter {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byID[name]
}

func (c *filterCache) put(name filterName, f *filter.Filter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[filterName]*filter.Filter{}
	}
	if len(c.byID) >= maxCachedFilters {
		for some := range c.byID {
			delete(c.byID, some)
			break
		}
	}
	c.byID[name] = f
}

// storedFilter returns a filter of the user's, nil where there is none of this id.
func (s *Service) storedFilter(ctx context.Context, user, id string) (*filter.Filter, error) {
	name := filterName{user, id}
	if f := s.filters.get(name); f != nil {
		return f, nil
	}
	raw, err := s.users.Filter(ctx, user, id)
	if err != nil || raw == nil {
		return nil, unavailable(err)
	}
	f, err := filter.Parse(raw)
	if err != nil {
		return nil, err
	}
	s.filters.put(name, f)
	return f, nil
}

// postFilter answers POST /user/{userId}/filter.
func (s *Service) postFilter(w http.ResponseWriter, r *http.Request) error {
	user, err := self(r)
	if err != nil {
		return err
	}
	raw, err := httpx.ReadObject(r)
	if err != nil {
		return err
	}
	if _, err := filter.Parse(raw); err != nil {
		return err
	}
	id, err := s.users.PutFilter(r.Context(), user, raw, s.cfg.MaxFilters)
	if err != nil {
		return unavailable(err)
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"filter_id": id})
	return nil
}

// getFilter answers GET /user/{userId}/filter/{filterId}.
func (s *Service) getFilter(w http.ResponseWriter, r *http.Request) error {
	user, err := self(r)
	if err != nil {
		return err
	}
	raw, err := s.users.Filter(r.Context(), user, r.PathValue("filterId"))
	if err != nil {
		return unavailable(err)
	}
	if raw == nil {
		return matrix.NewError(matrix.CodeNotFound, "You have no such filter.")
	}
	httpx.WriteRawJSON(w, http.StatusOK, raw)
	return nil
}
