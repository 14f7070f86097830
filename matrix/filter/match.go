package filter

import (
	"slices"
	"strings"
)

// mapFrom is from how many elements on a set is looked up rather than read through.
const mapFrom = 12

// set is a list of strings that is looked up often.
type set struct {
	list []string
	byID map[string]struct{}
}

func newSet(list []string) set {
	s := set{list: list}
	if len(list) >= mapFrom {
		s.byID = make(map[string]struct{}, len(list))
		for _, v := range list {
			s.byID[v] = struct{}{}
		}
	}
	return s
}

func (s *set) has(v string) bool {
	if s.byID != nil {
		_, ok := s.byID[v]
		return ok
	}
	return slices.Contains(s.list, v)
}

// matchLists is the rule of every pair of lists: in the first if there is one, and not in the second.
func matchLists(only []string, in *set, not []string, out *set, v string) bool {
	if only != nil && !in.has(v) {
		return false
	}
	return len(not) == 0 || !out.has(v)
}

// contains is the rule of a single list: an absent one contains everything.
func contains(list []string, v string) bool { return list == nil || slices.Contains(list, v) }

// patterns is a list of event types of which some have the wildcard *.
type patterns struct {
	exact set
	wild  []string
}

func newPatterns(list []string) patterns {
	var exact, wild []string
	for _, p := range list {
		if strings.IndexByte(p, '*') >= 0 {
			wild = append(wild, p)
		} else {
			exact = append(exact, p)
		}
	}
	return patterns{exact: newSet(exact), wild: wild}
}

func (p *patterns) match(eventType string) bool {
	if p.exact.has(eventType) {
		return true
	}
	for _, pattern := range p.wild {
		if matchWildcard(pattern, eventType) {
			return true
		}
	}
	return false
}

// matchWildcard matches * with any run of characters. It takes the shortest run each time and
// only ever returns to the last *, so it needs at most len(pattern)*len(s) steps.
func matchWildcard(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
