package gateway

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
