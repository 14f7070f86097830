package sync

import (
	"context"
	"encoding/json"
	"net/http"

	"hongyan/matrix"
	"hongyan/matrix/pushrules"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
	"hongyan/service/sync/internal/live"
)

// clientPushRules is the content of m.push_rules as clients read it, from what is stored; nil is a new user's.
func clientPushRules(user string, stored []byte) []byte {
	rules, err := pushrules.Decode(stored)
	if err != nil {
		rules = pushrules.Rules{} // what cannot be read is as good as none: the client must be able to go on
	}
	content, err := json.Marshal(rules.Ruleset(matrix.UserID(user)).Global())
	if err != nil {
		return []byte(`{"global":{}}`)
	}
	return content
}

func (s *Service) pushRules(ctx context.Context, user string) (pushrules.Rules, error) {
	stored, err := s.users.Data(ctx, user, "", live.TypePushRules)
	if err != nil {
		return pushrules.Rules{}, unavailable(err)
	}
	return pushrules.Decode(stored)
}

// changePushRules writes what change makes of the caller's rules.
func (s *Service) changePushRules(r *http.Request, change func(pushrules.Rules) (pushrules.Rules, error)) error {
	user, txn := httpx.CallerOf(r).UserID, once.Answered(r)
	return unavailable(s.users.ChangeData(r.Context(), user, "", live.TypePushRules, txn, func(stored []byte) ([]byte, error) {
		rules, err := pushrules.Decode(stored)
		if err != nil {
			return nil, err
		}
		if rules, err = change(rules); err != nil {
			return nil, err
		}
		return rules.Encode()
	}))
}

// getPushRules answers GET /pushrules/.
func (s *Service) getPushRules(w http.ResponseWriter, r *http.Request) error {
	user := httpx.CallerOf(r).UserID
	rules, err := s.pushRules(r.Context(), user)
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, rules.Ruleset(matrix.UserID(user)).Global())
	return nil
}

// getGlobalPushRules answers GET /pushrules/global/.
func (s *Service) getGlobalPushRules(w http.ResponseWriter, r *http.Request) error {
	user := httpx.CallerOf(r).UserID
	rules, err := s.pushRules(r.Context(), user)
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, rules.Ruleset(matrix.UserID(user)))
	return nil
}

// rule reads the rule that the path names.
func (s *Service) rule(r *http.Request) (pushrules.Rule, error) {
	user := httpx.CallerOf(r).UserID
	kind, err := pushrules.ParseKind(r.PathValue("kind"))
	if err != nil {
		return pushrules.Rule{}, err
	}
	rules, err := s.pushRules(r.Context(), user)
	if err != nil {
		return pushrules.Rule{}, err
	}
	return rules.Get(matrix.UserID(user), kind, r.PathValue("ruleId"))
}

// getPushRule answers GET /pushrules/global/{kind}/{ruleId}.
func (s *Service) getPushRule(w http.ResponseWriter, r *http.Request) error {
	rule, err := s.rule(r)
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, rule)
	return nil
}

// changeRule changes the rule that the path names and answers {}.
func (s *Service) changeRule(
	w http.ResponseWriter, r *http.Request,
	change func(rules pushrules.Rules, kind pushrules.Kind, ruleID string) (pushrules.Rules, error),
) error {
	kind, err := pushrules.ParseKind(r.PathValue("kind"))
	if err != nil {
		return err
	}
	err = s.changePushRules(r, func(rules pushrules.Rules) (pushrules.Rules, error) {
		return change(rules, kind, r.PathValue("ruleId"))
	})
	if err != nil {
		return err
	}
	return done(w)
}

// putPushRule answers PUT /pushrules/global/{kind}/{ruleId}.
func (s *Service) putPushRule(w http.ResponseWriter, r *http.Request) error {
	q := httpx.ReadQuery(r.URL)
	before, after := q.String("before"), q.String("after")
	if err := q.Err(); err != nil {
		return err
	}
	body, err := httpx.ReadObject(r)
	if err != nil {
		return err
	}
	return s.changeRule(w, r, func(rules pushrules.Rules, kind pushrules.Kind, ruleID string) (pushrules.Rules, error) {
		return rules.Put(kind, ruleID, body, before, after)
	})
}

// deletePushRule answers DELETE /pushrules/global/{kind}/{ruleId}.
func (s *Service) deletePushRule(w http.ResponseWriter, r *http.Request) error {
	return s.changeRule(w, r, func(rules pushrules.Rules, kind pushrules.Kind, ruleID string) (pushrules.Rules, error) {
		return rules.Delete(kind, ruleID)
	})
}

// getPushRuleEnabled answers GET /pushrules/global/{kind}/{ruleId}/enabled.
func (s *Service) getPushRuleEnabled(w http.ResponseWriter, r *http.Request) error {
	rule, err := s.rule(r)
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]bool{"enabled": rule.Enabled})
	return nil
}

// putPushRuleEnabled answers PUT /pushrules/global/{kind}/{ruleId}/enabled.
func (s *Service) putPushRuleEnabled(w http.ResponseWriter, r *http.Request) error {
	body, err := httpx.ReadObject(r)
	if err != nil {
		return err
	}
	enabled, err := pushrules.ParseEnabledBody(body)
	if err != nil {
		return err
	}
	return s.changeRule(w, r, func(rules pushrules.Rules, kind pushrules.Kind, ruleID string) (pushrules.Rules, error) {
		return rules.SetEnabled(kind, ruleID, enabled)
	})
}

// getPushRuleActions answers GET /pushrules/global/{kind}/{ruleId}/actions.
func (s *Service) getPushRuleActions(w http.ResponseWriter, r *http.Request) error {
	rule, err := s.rule(r)
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, map[string][]pushrules.Action{"actions": rule.Actions})
	return nil
}

// putPushRuleActions answers PUT /pushrules/global/{kind}/{ruleId}/actions.
func (s *Service) putPushRuleActions(w http.ResponseWriter, r *http.Request) error {
	body, err := httpx.ReadObject(r)
	if err != nil {
		return err
	}
	actions, err := pushrules.ParseActionsBody(body)
	if err != nil {
		return err
	}
	return s.changeRule(w, r, func(rules pushrules.Rules, kind pushrules.Kind, ruleID string) (pushrules.Rules, error) {
		return rules.SetActions(kind, ruleID, actions)
	})
}
