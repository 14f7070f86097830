package room

import "context"

// follow follows identity's log until ctx ends.
func (s *Service) follow(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
