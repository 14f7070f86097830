package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix"
	"hongyan/platform/outbound"
	"hongyan/service/media/internal/page"
	"hongyan/service/media/internal/store"
)

const (
	// userAgent says which server asks other sites. Some of them tell what a page is to those only who call themselves a bot.
	userAgent = "Mozilla/5.0 (compatible; HongyanPreviewBot/1.0; +https://%s)"
	// acceptPage is what other sites are asked for.
	acceptPage  = "text/html, application/xhtml+xml, image/*;q=0.8, */*;q=0.5"
	acceptImage = "image/webp, image/png, image/jpeg, image/gif, image/*;q=0.5"
	// maxAnswer is how large a preview may be as clients get it, in bytes.
	maxAnswer = 16 << 10
	// maxOEmbed is how large an answer of oEmbed may be; triedImages how many pictures of a page are tried.
	maxOEmbed   = 256 << 10
	triedImages = 3
	// parsedAtOnce is how many pages are read at once: that takes several times their size of memory.
	parsedAtOnce = 4
)

// fetchError says that another site gave nothing to make a preview of; why is for whoever asked.
type fetchError struct {
	why   string
	cause error
}

func (e *fetchError) Error() string { return e.why + ": " + e.cause.Error() }

func (e *fetchError) Unwrap() error { return e.cause }

// whyNot says why another site was not read. It does not tell an address that may not be reached from one that does not answer: that
// would tell strangers what names mean within.
func whyNot(err error) *fetchError {
	why := "The page could not be read: its server cannot be reached."
	var status *statusError
	switch {
	case errors.As(err, &status):
		why = fmt.Sprintf("The page could not be read: its server answered with status %d.", status.status)
	case errors.Is(err, outbound.ErrRefused):
	case errors.Is(err, outbound.ErrRedirects):
		why = "The page could not be read: its server redirects too often."
	case errors.Is(err, outbound.ErrTooLarge):
		why = "The page could not be read: it is too large."
	case errors.Is(err, context.DeadlineExceeded):
		why = "The page could not be read: its server takes too long."
	}
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err // the log need not tell what people read
	}
	return &fetchError{why, err}
}

// statusError is an answer that is no page.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("status %d", e.status) }

// makePreview reads a page and keeps what comes of it, also where that is nothing.
func (s *Service) makePreview(ctx context.Context, q pageRequest) (store.Preview, error) {
	within, cancel := context.WithTimeout(ctx, s.cfg.URLPreviews.TotalTimeout)
	defer cancel()
	props, image, err := s.readPage(within, q)
	if gone := context.Cause(ctx); gone != nil { // what was not read is nobody's failure
		if image.Content.Key != "" {
			s.drop(ctx, image.Content.Key)
		}
		return store.Preview{}, gone
	}
	now := s.deps.Clock()
	fresh := s.cfg.URLPreviews.FreshFor.Milliseconds()
	p := store.Preview{
		Name: q.name, FetchedMS: now.UnixMilli(), Slot: now.UnixMilli() / fresh * fresh, Image: image,
		RemoveMS: now.Add(s.cfg.URLPreviews.KeepFor).UnixMilli(),
	}
	var failed *fetchError
	switch {
	case errors.As(err, &failed):
		logx.WithContext(ctx).Debugf("media: no preview: %v", failed.cause)
		p.Failed, p.Answer, p.RemoveMS = true, failed.why, now.Add(failedFor).UnixMilli()
	case err != nil:
		return store.Preview{}, err
	default:
		if p.Answer, err = page.Encode(props, maxAnswer); err != nil {
			return store.Preview{}, err
		}
	}
	err = inTime(context.WithoutCancel(ctx), func(ctx context.Context) (err error) {
		p, err = s.store.KeepPreview(ctx, p, s.nowMS())
		return err
	})
	if err != nil { // the picture's blob goes when it is due
		if errors.Is(err, store.ErrLate) {
			err = matrix.Unavailable(err)
		}
		return store.Preview{}, err
	}
	if !p.Failed {
		s.metrics.preview(previewMade)
	}
	return p, nil
}

// readPage reads a page and its picture. The error is a fetchError where the other site is the reason.
func (s *Service) readPage(ctx context.Context, q pageRequest) (props map[string]any, image store.Media, err error) {
	res, err := s.ask(ctx, q.url, acceptPage, q.languages, max(s.cfg.URLPreviews.MaxPageBytes, s.maxImage()))
	if err != nil {
		return nil, image, err
	}
	defer func() { _ = res.Body.Close() }() // it was read
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	at := res.Request.URL
	switch kind, _, _ := strings.Cut(kind, "/"); kind {
	case "image":
		props = named(at)
		info, image, err := s.keepImage(ctx, q, res)
		if err == nil {
			describeImage(props, s.uri(image.ID), info, image.Content.Size)
			return props, image, nil
		}
		if ctx.Err() != nil {
			return nil, store.Media{}, whyNot(ctx.Err())
		}
		return map[string]any{}, store.Media{}, notPicture(err)
	case "video":
		props = named(at)
		props["og:type"], props["og:video"], props["og:video:type"] = "video.other", at.String(), contentTypeOf(res)
		return props, image, nil
	case "audio":
		props = named(at)
		props["og:type"], props["og:audio"], props["og:audio:type"] = "music.song", at.String(), contentTypeOf(res)
		return props, image, nil
	}
	if kind != "text/html" && kind != "application/xhtml+xml" {
		return map[string]any{}, image, nil
	}
	p, err := s.parse(ctx, res)
	if err != nil {
		return nil, image, err
	}
	_ = res.Body.Close() // its place is needed for what follows
	s.askOEmbed(ctx, q, p)
	props = p.Properties()
	image, err = s.imageOf(ctx, q, p, props)
	return props, image, err
}

// ask asks another site, of which only what it has counts.
func (s *Service) ask(ctx context.Context, address, accept, languages string, maxBytes int64) (*http.Response, error) {
	header := http.Header{"Accept": {accept}}
	if languages != "" {
		header.Set("Accept-Language", languages)
	}
	res, err := s.pages.Open(ctx, address, header, maxBytes)
	if err != nil {
		return nil, whyNot(err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		_ = res.Body.Close() // what it says is not read
		return nil, whyNot(&statusError{res.StatusCode})
	}
	return res, nil
}

// parse reads a page, or its beginning.
func (s *Service) parse(ctx context.Context, res *http.Response) (*page.Page, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, s.cfg.URLPreviews.MaxPageBytes))
	if err != nil && !errors.Is(err, outbound.ErrTooLarge) {
		return nil, whyNot(err)
	}
	// Not before it is there, however slowly it comes.
	if err := s.parsing.Acquire(ctx, 1); err != nil {
		return nil, whyNot(err)
	}
	defer s.parsing.Release(1)
	return page.Parse(body, res.Header.Get("Content-Type"), res.Request.URL), nil
}

// askOEmbed adds what oEmbed says, if that is needed. Where it fails the page is what there is.
func (s *Service) askOEmbed(ctx context.Context, q pageRequest, p *page.Page) {
	if !p.NeedsOEmbed() {
		return
	}
	res, err := s.ask(ctx, p.OEmbed, "application/json", q.languages, maxOEmbed)
	if err != nil {
		return
	}
	defer func() { _ = res.Body.Close() }() // it was read
	if body, err := io.ReadAll(res.Body); err == nil {
		p.AddOEmbed(body, res.Request.URL)
	}
}

// named is what is known of a file by its address.
func named(u *url.URL) map[string]any {
	name := page.Clean(path.Base(u.Path))
	if name == "" || name == "/" || name == "." {
		return map[string]any{}
	}
	return map[string]any{"og:title": name}
}

func contentTypeOf(res *http.Response) string {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return page.Clean(kind)
}
