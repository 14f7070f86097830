package room

import (
	"context"
	"net/http"

	"hongyan/matrix/auth"
	"hongyan/matrix/event"
)

// moderation is one of the changes that somebody makes to somebody else.
type moderation struct {
	to event.Membership
	// need is the power level that it needs; what names it in messages.
	need func(*auth.PowerLevels) int64
	what string
	do   func(w *working, ctx context.Context, c memberChange) (*event.Event, error)
}

// invite is POST /rooms/{roomId}/invite.
func (s *Service) invite(rw http.ResponseWriter, r *http.Request) error {
	return s.moderate(rw, r, moderation{event.Invite, inviteLevel, "Inviting", (*working).setMember})
}

// kick is POST /rooms/{roomId}/kick.
func (s *Service) kick(rw http.ResponseWriter, r *http.Request) error {
	return s.moderate(rw, r, moderation{event.Leave, kickLevel, "Kicking", (*working).kick})
}

// ban is POST /rooms/{roomId}/ban.
func (s *Service) ban(rw http.ResponseWriter, r *http.Request) error {
	return s.moderate(rw, r, moderation{event.Ban, banLevel, "Banning", (*working).setMember})
}

// unban is POST /rooms/{roomId}/unban.
func (s *Service) unban(rw http.ResponseWriter, r *http.Request) error {
	return s.moderate(rw, r, moderation{event.Leave, banLevel, "Unbanning", (*working).unban})
}

func inviteLevel(p *auth.PowerLevels) int64 { return p.Invite }
func kickLevel(p *auth.PowerLevels) int64   { return p.Kick }
func banLevel(p *auth.PowerLevels) int64    { return p.Ban }

// moderate does a moderation. The caller's permission comes before what is wrong with the body.
func (s *Service) moderate(rw http.ResponseWriter, r *http.Request, m moderation) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	if err := q.active(); err != nil {
		return err
	}
	c := memberChange{sender: q.user, to: m.to, device: q.DeviceID}
	body, bodyErr := readBody[membershipBody](r)
	if m.to == event.Invite && bodyErr == nil && body.UserID == "" && body.Medium != "" {
		return s.inviteByAddress(rw, q, body.addressBody)
	}
	if bodyErr == nil {
		c.target, bodyErr = body.target()
		c.content = body.extra()
	}
	if m.to == event.Invite && bodyErr == nil {
		found, err := s.profiles(r.Context(), c.target)
		if err != nil {
			return err
		}
		c.profile = found[c.target]
		blocked, err := s.inviteBlocks(r.Context(), c.target)
		if err != nil {
			return err
		}
		c.blocked = blocked[c.target]
	}
	return s.answer(rw, q, q.once(), asOp(func(ctx context.Context, w *working) error {
		if err := w.mustBeJoined(q.user); err != nil {
			return err
		}
		if c.target != q.user || bodyErr != nil {
			if err := w.mustHavePower(q.user, m.need(w.auth.levels), m.what); err != nil {
				return err
			}
		}
		if bodyErr != nil {
			return bodyErr
		}
		_, err := m.do(w, ctx, c)
		return err
	}))
}
