package social

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	identitypb "hongyan/api/identity"
	"hongyan/platform/eventlog"
	"hongyan/platform/follow"
	"hongyan/platform/lease"
	"hongyan/service/social/internal/store"
	"hongyan/service/social/internal/words"
)

// followPeople keeps who there is.
func (s *Service) followPeople(ctx context.Context, _ *lease.Term) {
	s.follow(ctx, s.people, keep{
		prepare:     s.changedPeople,
		forgetShard: func(ctx context.Context, tx store.Tx, shard int) error { return tx.ForgetPeopleOf(ctx, shard) },
		forget:      func(ctx context.Context, tx store.Tx) error { return tx.ForgetAllPeople(ctx) },
	})
}

// changedPeople asks identity how those are now whom a page is about. What comes after the page in the log may be known of them too,
// and comes again.
func (s *Service) changedPeople(ctx context.Context, p *follow.Page) (change, error) {
	ids := concerned(p.Records)
	if len(ids) == 0 {
		return nil, nil
	}
	accounts, err := s.deps.Identity.Users(ctx, &identitypb.UsersRequest{UserIds: ids})
	if err != nil {
		return nil, fmt.Errorf("ask for accounts: %w", err)
	}
	profiles, err := s.deps.Identity.Profiles(ctx, &identitypb.ProfilesRequest{UserIds: ids})
	if err != nil {
		return nil, fmt.Errorf("ask for profiles: %w", err)
	}
	listed := map[string]bool{}
	for _, u := range accounts.GetUsers() {
		listed[u.GetUserId()] = !u.GetDeactivated() && !u.GetLocked() && !u.GetGuest()
	}
	var people []store.Person
	for _, profile := range profiles.GetProfiles() {
		if listed[profile.GetUserId()] {
			people = append(people, personOf(profile))
		}
	}
	return func(ctx context.Context, tx store.Tx) error {
		if err := tx.ForgetPeople(ctx, ids); err != nil {
			return err
		}
		return tx.AddPeople(ctx, p.Shard, people)
	}, nil
}

// concerned are the users whom records are about, as far as the directory is concerned.
func concerned(records []eventlog.Record) []string {
	ids := map[string]bool{}
	for _, r := range records {
		switch identitypb.UserEventKind(r.Kind) {
		case identitypb.UserEventKind_USER_EVENT_KIND_REGISTERED, identitypb.UserEventKind_USER_EVENT_KIND_PROFILE_CHANGED,
			identitypb.UserEventKind_USER_EVENT_KIND_STATUS_CHANGED, identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED:
			ids[r.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// storable is a text as databases hold it: without U+0000, which profiles may have that are older than the rule against it.
func storable(text *string) *string {
	if text == nil || !strings.Contains(*text, "\x00") {
		return text
	}
	clean := strings.ReplaceAll(*text, "\x00", "")
	return &clean
}

// personOf says what a user is found by: the words of their name, and of their id's local part.
func personOf(profile *identitypb.Profile) store.Person {
	p := store.Person{UserID: profile.GetUserId(), Name: storable(profile.DisplayName), Avatar: storable(profile.AvatarUrl)}
	if p.Name != nil {
		p.Folded = words.Fold(*p.Name)
	}
	local, server, _ := strings.Cut(p.UserID, ":")
	p.Tokens = words.Tokens(p.Folded)
	for _, t := range words.Tokens(local) {
		p.Tokens = append(p.Tokens, words.Cut(t+":"+server))
	}
	slices.Sort(p.Tokens)
	p.Tokens = slices.Compact(p.Tokens)
	return p
}
