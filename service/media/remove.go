package media

import (
	"context"
	"errors"
	"strings"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"

	mediapb "hongyan/api/media"
	"hongyan/matrix"
	"hongyan/service/media/internal/store"
)

// RegisterAdmin registers what the operator of the machine may call: hongyan.media.v1.Removal.
func (s *Service) RegisterAdmin(reg grpc.ServiceRegistrar) {
	mediapb.RegisterRemovalServer(reg, removalServer{s: s})
}

// removalServer removes media.
type removalServer struct {
	mediapb.UnimplementedRemovalServer
	s *Service
}

// RemoveMedia removes a media and, if that is asked for, all others with the same content.
func (r removalServer) RemoveMedia(ctx context.Context, req *mediapb.RemoveMediaRequest) (*mediapb.RemoveMediaResponse, error) {
	id, err := r.s.uriID(req.GetUri())
	if err != nil {
		return nil, err
	}
	resp := &mediapb.RemoveMediaResponse{}
	removed, err := r.s.remove(ctx, id, resp)
	copies := removed.Copies
	for err == nil && req.GetCopies() && len(copies) > 0 {
		copies, err = r.removeCopies(ctx, removed.Key, copies, resp)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, errNotFound()
	case err != nil:
		return nil, matrix.Unavailable(err)
	}
	resp.Copies = int64(len(copies))
	return resp, nil
}

// removeCopies removes media with the same content, and tells which are left of it.
func (r removalServer) removeCopies(
	ctx context.Context, key string, ids []string, resp *mediapb.RemoveMediaResponse,
) (left []string, err error) {
	for _, id := range ids {
		// Somebody else may have removed it meanwhile; of the others that says nothing.
		if _, err := r.s.remove(ctx, id, resp); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	err = inTime(ctx, func(ctx context.Context) (err error) {
		left, err = r.s.store.Copies(ctx, key)
		return err
	})
	return left, err
}

// remove removes one media, and at once the blobs that nobody uses any more.
func (s *Service) remove(ctx context.Context, id string, resp *mediapb.RemoveMediaResponse) (removed store.Removed, err error) {
	err = inTime(ctx, func(ctx context.Context) (err error) {
		removed, err = s.store.Remove(ctx, id, s.nowMS())
		return err
	})
	if err != nil {
		return store.Removed{}, err
	}
	resp.Removed = append(resp.Removed, &mediapb.RemovedMedia{Uri: s.uri(id), UserId: removed.UserID, Bytes: removed.Size})
	for _, key := range removed.Keys {
		// What fails, or is broken off, is done when the blob is due: now.
		err := inTime(context.WithoutCancel(ctx), func(ctx context.Context) error { return s.deps.Blobs.Delete(ctx, key) })
		if err != nil {
			logx.WithContext(ctx).Errorf("media: remove blob %s: %v", key, err)
			resp.Later = true
		}
	}
	return removed, nil
}

// uriID reads the media id of a URI, if it is of this server.
func (s *Service) uriID(uri string) (string, error) {
	id, ok := strings.CutPrefix(uri, "mxc://"+string(s.deps.Server)+"/")
	if !ok || !isID(id) {
		return "", matrix.Errorf(matrix.CodeInvalidParam, "Want a URI of this server: mxc://%s/ and a media id.", s.deps.Server)
	}
	return id, nil
}
