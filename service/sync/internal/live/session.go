package live

// session is what is remembered of one device: the token it got last, how far its user's index had been looked at
// then, and which member events it has. Forgetting a session costs time and repetition, never data.
type session struct {
	device string
	// token is the last one issued, in the answer to since; tick and sinceTick belong to them.
	token, since    string
	tick, sinceTick uint64
	// known are the member events that the device has for certain, pending those in the last answer.
	known   map[uint64]struct{}
	pending []uint64
	used    uint64
}

// maxKnown bounds the member events that are remembered of one device.
const maxKnown = 4096

// View is how a session stands for one request.
type View struct {
	// Tick is where to begin looking at the user's index.
	Tick    uint64
	user    *User
	session *session
}

// View returns the session of a device for a request with a token. What was in an answer counts as received when that
// answer's token comes back; the repeated request is answered as the first time, and that of any other token as if
// nothing was known of the device.
func (u *User) View(device, since string) View {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.session(device)
	v := View{user: u, session: s}
	switch {
	case since == "":
		s.known, s.pending, s.token = nil, nil, ""
	case since == s.token:
		if s.known == nil {
			s.known = make(map[uint64]struct{}, len(s.pending))
		}
		for _, k := range s.pending {
			s.known[k] = struct{}{}
		}
		if len(s.known) > maxKnown {
			s.known = nil
		}
		s.pending = nil
		v.Tick = s.tick
	case since == s.since:
		s.pending = nil
		v.Tick = s.sinceTick
	default:
		s.known, s.pending, s.token = nil, nil, ""
	}
	return v
}

// Knows tells whether the device has a member event for certain.
func (v *View) Knows(key uint64) bool {
	v.user.mu.Lock()
	defer v.user.mu.Unlock()
	_, ok := v.session.known[key]
	return ok
}

// Issued notes what the request was answered: the token, the tick that Changed returned, and the member events in it.
func (v *View) Issued(since, token string, tick uint64, members []uint64) {
	v.user.mu.Lock()
	defer v.user.mu.Unlock()
	s := v.session
	s.since, s.token, s.sinceTick, s.tick, s.pending = since, token, v.Tick, tick, members
}

// session finds a device's session or makes one in place of that which was not used longest.
func (u *User) session(device string) *session {
	u.uses++
	oldest := 0
	for i, s := range u.sessions {
		if s.device == device {
			s.used = u.uses
			return s
		}
		if s.used < u.sessions[oldest].used {
			oldest = i
		}
	}
	s := &session{device: device, used: u.uses}
	if len(u.sessions) >= u.node.cfg.UserSessions {
		u.sessions[oldest] = s
	} else {
		u.sessions = append(u.sessions, s)
	}
	return s
}
