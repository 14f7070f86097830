package media

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/text/language"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/outbound"
	"hongyan/service/media/internal/store"
)

const (
	// maxPreviewURL is the longest URL of which a preview is made, in bytes; maxLanguages the longest Accept-Language that is passed on.
	maxPreviewURL = 4096
	maxLanguages  = 200
	// failedFor is how long it is remembered that a preview could not be made.
	failedFor = time.Minute
)

// pageRequest is what somebody wants a preview of.
type pageRequest struct {
	// user is who wants it.
	user string
	// url is where the page is, host the host in it.
	url, host string
	// languages are what its reader would rather read, as a header says it.
	languages string
	// name stands for both.
	name string
}

// getPreview answers GET …/preview_url.
func (s *Service) getPreview(w http.ResponseWriter, r *http.Request) error {
	if s.pages == nil {
		return matrix.NewError(matrix.CodeNotFound, "This server makes no previews of web pages.")
	}
	query := httpx.ReadQuery(r.URL)
	address := query.Required("url")
	now := s.nowMS()
	at := min(query.Int("ts", now, 0, math.MaxInt64), now)
	if err := query.Err(); err != nil {
		return err
	}
	q, err := s.pageRequest(httpx.CallerOf(r).UserID, address, r.Header.Get("Accept-Language"))
	if err != nil {
		return err
	}
	p, err := s.preview(r.Context(), q, at)
	if err != nil {
		return s.previewError(err)
	}
	if p.Failed {
		s.metrics.preview(previewFailed)
		// Not by way of an error: it is none of the server's, whatever its status.
		e := matrix.NewError(matrix.CodeUnknown, p.Answer).WithStatus(http.StatusBadGateway)
		httpx.WriteJSON(w, e.Status, e)
		return nil
	}
	httpx.WriteRawJSON(w, http.StatusOK, []byte(p.Answer))
	return nil
}

// pageRequest reads what is asked for, and refuses what can be seen not to be asked.
func (s *Service) pageRequest(userID, address, languages string) (pageRequest, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || len(address) > maxPreviewURL {
		return pageRequest{}, matrix.Errorf(matrix.CodeInvalidParam, "url must be the address of a web page, of up to %d bytes.", maxPreviewURL)
	}
	host, err := outbound.HostOf(u)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Opaque != "" {
		return pageRequest{}, matrix.NewError(matrix.CodeInvalidParam, "url must be an address of http or https, without a user name.")
	}
	if err := s.pages.Check(u); err != nil {
		s.metrics.preview(previewRefused)
		return pageRequest{}, matrix.NewError(matrix.CodeForbidden, "This server makes no previews of this address.").WithCause(err)
	}
	normalise(u, host)
	q := pageRequest{user: userID, url: u.String(), host: host, languages: languages}
	if len(languages) > maxLanguages || !isPrintable(languages) {
		q.languages = ""
	}
	sum := sha256.Sum256([]byte(q.url + "\n" + firstLanguage(q.languages)))
	q.name = hex.EncodeToString(sum[:])
	return q, nil
}

// normalise makes different spellings of an address one.
func normalise(u *url.URL, host string) {
	port := u.Port()
	if port == "80" && u.Scheme == "http" || port == "443" && u.Scheme == "https" {
		port = ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	u.Host = host
	if port != "" {
		u.Host += ":" + port
	}
	if u.Path == "" {
		u.Path = "/"
	}
	u.Fragment, u.RawFragment, u.ForceQuery = "", "", false
}

// firstLanguage is the language that a reader would rather read; readers of the same share previews.
func firstLanguage(header string) string {
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil || len(tags) == 0 {
		return ""
	}
	return tags[0].String()
}

// preview finds the preview of a page at a time, or makes one now.
func (s *Service) preview(ctx context.Context, q pageRequest, atMS int64) (store.Preview, error) {
	p, err := s.keptPreview(ctx, q.name, atMS)
	if !errors.Is(err, store.ErrNotFound) {
		if err == nil && !p.Failed {
			s.metrics.preview(previewKept)
		}
		return p, err
	}
	turn, cancel := context.WithTimeout(ctx, s.cfg.URLPreviews.TotalTimeout)
	defer cancel()
	return s.previewing.do(turn, want[string]{user: q.user, source: q.host, name: q.name}, func() (store.Preview, error) {
		// Somebody may have made it before it was this one's turn.
		if p, err := s.keptPreview(ctx, q.name, s.nowMS()); !errors.Is(err, store.ErrNotFound) {
			return p, err
		}
		return s.makePreview(ctx, q)
	})
}

// keptPreview finds the preview of a page at a time: while that is about now, the newest if it is fresh; later the one before, or else
// the first after. store.ErrNotFound says that a new one must be made.
func (s *Service) keptPreview(ctx context.Context, name string, atMS int64) (p store.Preview, err error) {
	now, fresh := s.nowMS(), s.cfg.URLPreviews.FreshFor.Milliseconds()
	past := now-atMS >= fresh
	if !past {
		atMS = now // what has just been fetched is as good: clients round times down
	}
	err = inTime(ctx, func(ctx context.Context) (err error) {
		p, err = s.store.PreviewBefore(ctx, name, atMS, now)
		if err == nil && (p.Failed || past || now-p.FetchedMS < fresh) {
			return nil
		}
		if err == nil {
			return store.ErrNotFound
		}
		if !errors.Is(err, store.ErrNotFound) || !past {
			return err
		}
		if p, err = s.store.PreviewAfter(ctx, name, atMS); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if p, err = s.store.PreviewBefore(ctx, name, now, now); err == nil && !p.Failed {
			return store.ErrNotFound
		}
		return err
	})
	return p, err
}

// previewError says what a preview is refused with, and counts it.
func (s *Service) previewError(err error) error {
	if errors.Is(err, errAtOnce) {
		s.metrics.preview(previewBusy)
		e := matrix.NewError(matrix.CodeLimitExceeded, "Too many previews at once. Wait until some were made.").WithCause(err)
		e.RetryAfter = time.Second
		return e
	}
	return err
}
