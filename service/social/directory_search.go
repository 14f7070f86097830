package social

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	syncpb "hongyan/api/sync"
	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/platform/httpx"
	"hongyan/service/social/internal/store"
	"hongyan/service/social/internal/words"
)

// Bounds of a search.
const (
	defaultResults = 10
	maxResults     = 50
	// maxTerm is how long what is searched for may be, in bytes: an id has at most 255. maxWords is how many words it may have.
	maxTerm  = 512
	maxWords = 10
	// searchTimeout is how long a search may take, with waiting for its turn.
	searchTimeout = 10 * time.Second
)

// searchBody is the body of POST /user_directory/search.
type searchBody struct {
	Term  *string `json:"search_term"`
	Limit *int64  `json:"limit"`
}

// user is a user in the answer.
type user struct {
	UserID string  `json:"user_id"`
	Name   *string `json:"display_name,omitempty"`
	Avatar *string `json:"avatar_url,omitempty"`
}

// postSearch is POST /user_directory/search.
func (s *Service) postSearch(w http.ResponseWriter, r *http.Request) error {
	var body searchBody
	if err := httpx.ReadJSON(r, &body); err != nil {
		return err
	}
	q, err := s.query(body)
	if err != nil {
		return err
	}
	q.UserID = httpx.CallerOf(r).UserID
	answer := struct {
		Results []user `json:"results"`
		Limited bool   `json:"limited"`
	}{Results: []user{}}
	if len(q.Words) > 0 {
		found, more, err := s.search(r.Context(), q)
		if err != nil {
			return err
		}
		for _, u := range found {
			answer.Results = append(answer.Results, user{UserID: u.UserID, Name: u.Name, Avatar: u.Avatar})
		}
		answer.Limited = more
	}
	httpx.WriteJSON(w, http.StatusOK, answer)
	return nil
}

// query checks what is asked for. It has no words where there is nothing to search for.
func (s *Service) query(body searchBody) (store.Search, error) {
	q := store.Search{Limit: defaultResults, Everybody: s.cfg.DirectoryAllUsers}
	switch {
	case body.Term == nil:
		return q, matrix.NewError(matrix.CodeMissingParam, "search_term is missing.")
	case len(*body.Term) > maxTerm:
		return q, matrix.Errorf(matrix.CodeInvalidParam, "search_term is longer than %d bytes.", maxTerm)
	case body.Limit != nil && (*body.Limit > canonicaljson.MaxInt || *body.Limit < -canonicaljson.MaxInt):
		return q, matrix.NewError(matrix.CodeBadJSON, "limit is no integer that JSON can be relied on for.")
	case body.Limit != nil && *body.Limit < 1:
		return q, matrix.NewError(matrix.CodeInvalidParam, "limit must be at least 1.")
	case body.Limit != nil:
		q.Limit = int(min(*body.Limit, maxResults))
	}
	q.Folded = words.Fold(*body.Term)
	if q.Words = words.Split(q.Folded); len(q.Words) > maxWords {
		return q, matrix.Errorf(matrix.CodeInvalidParam, "search_term has more than %d words.", maxWords)
	}
	if q.Folded != "" && !strings.Contains(q.Folded, " ") {
		q.IDPrefix = "@" + strings.TrimPrefix(q.Folded, "@")
		q.ExactID = q.IDPrefix
		if !strings.Contains(q.ExactID, ":") {
			q.ExactID += ":" + string(s.deps.Server)
		}
	}
	return q, nil
}

// search does a search when what was acknowledged before it is known here, and it is its turn.
func (s *Service) search(ctx context.Context, q store.Search) (found []store.Found, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	began := time.Now()
	q.Hidden = s.freshAndHidden(ctx, q.UserID)
	s.metrics.waits.Observe(time.Since(began).Seconds())
	select {
	case s.searches <- struct{}{}:
		defer func() { <-s.searches }()
	case <-ctx.Done():
		return nil, false, matrix.Unavailable(ctx.Err())
	}
	began = time.Now()
	defer func() { s.metrics.searches.Observe(time.Since(began).Seconds()) }()
	return s.store.Find(ctx, q)
}

// hidden are the users whom a user ignores, and does not find. Without sync they are found: a list that has too many is better
// than none.
func (s *Service) hidden(ctx context.Context, userID string) []string {
	resp, err := s.deps.Sync.AccountData(ctx, &syncpb.AccountDataRequest{UserId: userID, Types: []string{"m.ignored_user_list"}})
	if err != nil {
		logx.WithContext(ctx).Infof("search users without knowing whom the searcher ignores: %v", err)
		return nil
	}
	for _, d := range resp.GetData() {
		return slices.Sorted(maps.Keys(matrix.ParseIgnored(d.GetContent(), matrix.UserID(userID))))
	}
	return nil
}
