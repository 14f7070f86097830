package media

import (
	"context"
	"errors"
	"net/http"
	"time"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/sqldb"
)

const (
	mediaPath  = "/_matrix/media/v3"
	createPath = "/_matrix/media/v1/create"
	clientPath = "/_matrix/client/v1/media"
	idPath     = "/{serverName}/{mediaId}"
)

// bindings are the routes with their handlers.
func (s *Service) bindings() []httpx.Binding {
	all := []httpx.Binding{
		bind(httpx.Route{
			Method: http.MethodPost, Path: mediaPath + "/upload", Key: httpx.KeyUser, Limit: httpx.LimitUpload, Stream: true, Once: true,
		}, s.postUpload),
		bind(httpx.Route{
			Method: http.MethodPut, Path: mediaPath + "/upload" + idPath, Key: httpx.KeyUser, Limit: httpx.LimitUpload, Stream: true, Once: true,
		}, s.putUpload),
		// A repetition makes another id, and the one that nobody knows expires.
		bind(httpx.Route{
			Method: http.MethodPost, Path: createPath, Key: httpx.KeyUser, Limit: httpx.LimitUpload, Idempotent: true,
		}, s.postCreate),
		bind(httpx.Route{Method: http.MethodGet, Path: clientPath + "/config"}, s.getConfig),
		bind(httpx.Route{Method: http.MethodGet, Path: mediaPath + "/config"}, s.getConfig),
		// The instance that owns the user bounds how many are made for them.
		bind(httpx.Route{Method: http.MethodGet, Path: clientPath + "/preview_url", Key: httpx.KeyUser, Timeout: previewTimeout}, s.getPreview),
		bind(httpx.Route{Method: http.MethodGet, Path: mediaPath + "/preview_url", Key: httpx.KeyUser, Timeout: previewTimeout}, s.getPreview),
	}
	for _, r := range []struct {
		path, key string
		handler   httpx.HandlerFunc
	}{
		{"/download" + idPath, "", s.getDownload},
		{"/download" + idPath + "/{fileName}", "", s.getDownload},
		// The instance that owns the media makes its thumbnails, once.
		{"/thumbnail" + idPath, "mediaId", s.getThumbnail},
	} {
		route := httpx.Route{Method: http.MethodGet, Path: clientPath + r.path, Key: r.key, Stream: true}
		legacy := route
		legacy.Path, legacy.Auth = mediaPath+r.path, httpx.AuthNone
		all = append(all, bind(route, r.handler), bind(legacy, s.legacy(r.handler)))
	}
	return all
}

func bind(route httpx.Route, handler httpx.HandlerFunc) httpx.Binding {
	return httpx.Binding{Route: route, Handler: func(w http.ResponseWriter, r *http.Request) error {
		return apiError(handler(w, r))
	}}
}

// legacy serves a route without authentication, where the administrator wants that.
func (s *Service) legacy(handler httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !s.cfg.LegacyDownloads {
			return matrix.NewError(matrix.CodeNotFound,
				"This server serves media to signed-in users only, under /_matrix/client/v1/media.")
		}
		return handler(w, r)
	}
}

// previewTimeout is how long a preview may take, with waiting for its turn: see maxTotal.
const previewTimeout = time.Minute

// queryTimeout is how long the service's own work may take where the route has no deadline.
const queryTimeout = 15 * time.Second

// inTime does the service's own work within bounds.
func inTime(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return do(ctx)
}

// apiError makes an error of the database one that the client may try again after; API errors stay what they are.
func apiError(err error) error {
	var known *matrix.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if sqldb.IsConnectionLost(err) || errors.Is(err, context.DeadlineExceeded) {
		return matrix.Unavailable(err)
	}
	return err
}

// getConfig answers GET …/config.
func (s *Service) getConfig(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, map[string]int64{"m.upload.size": s.cfg.MaxUploadBytes})
	return nil
}
