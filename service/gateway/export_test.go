package gateway

import "net"

// ReturnedConn is a connection as the listener gets it back from a poll, with what its client sent early.
func ReturnedConn(c net.Conn, early string) net.Conn {
	bounded := boundedOf(c)
	bounded.unread([]byte(early))
	bounded.comesBack()
	return bounded
}

// Remembered counts the forgets that are remembered one by one.
func (s *Service) Remembered() int {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	n := 0
	for _, f := range s.sessions.forgot {
		n += max(len(f.devices), 1)
	}
	return n
}
