package social

import (
	"context"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"

	socialpb "hongyan/api/social"
	"hongyan/matrix"
)

// Register offers what other services may ask. It is called after Prepare.
func (s *Service) Register(reg grpc.ServiceRegistrar) {
	socialpb.RegisterSocialServer(reg, server{s: s})
}

// server answers other services' questions: hongyan.social.v1.Social.
type server struct {
	socialpb.UnimplementedSocialServer
	s *Service
}

// Visible tells whether a user may know of another one. It waits for the room log alone: identity, which asks, waits for nothing
// of its own.
func (v server) Visible(ctx context.Context, req *socialpb.VisibleRequest) (*socialpb.VisibleResponse, error) {
	if v.s.cfg.DirectoryAllUsers {
		return &socialpb.VisibleResponse{Visible: true}, nil
	}
	fresh, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := v.s.catchUp(fresh, v.s.rooms); err != nil {
		v.s.metrics.behind.WithLabelValues(v.s.rooms.name).Inc()
		logx.WithContext(ctx).Infof("tell who may know of whom without the newest of the room log: %v", err)
	}
	visible, err := v.s.store.Visible(ctx, req.GetUserId(), req.GetOtherId())
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	return &socialpb.VisibleResponse{Visible: visible}, nil
}
