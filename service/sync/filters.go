package sync

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"hongyan/matrix"
	"hongyan/matrix/filter"
	"hongyan/platform/httpx"
)

// maxCachedFilters bounds the parsed filters in memory.
const maxCachedFilters = 4096

// filterCache keeps filters parsed: stored ones, which never change, and such as requests carry, under no user.
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

// longestInline is the longest filter in place, in bytes, that is kept parsed: clients send the same with every request.
const longestInline = 2 << 10

// inlineFilter parses a filter that a request carries.
func (s *Service) inlineFilter(text string) (*filter.Filter, error) {
	name := filterName{id: text}
	if f := s.filters.get(name); f != nil {
		return f, nil
	}
	f, err := filter.Parse([]byte(text))
	if err == nil && len(text) <= longestInline {
		s.filters.put(filterName{id: strings.Clone(text)}, f)
	}
	return f, err
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
