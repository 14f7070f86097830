package media

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"

	"hongyan/platform/outbound"
	"hongyan/service/media/internal/page"
	"hongyan/service/media/internal/picture"
	"hongyan/service/media/internal/store"
)

// imageOf keeps the first picture of a page that is one. Without any the page has none; errors are the server's own.
func (s *Service) imageOf(ctx context.Context, q pageRequest, p *page.Page, props map[string]any) (store.Media, error) {
	for i, address := range p.Images() {
		if i == triedImages {
			break
		}
		image, err := s.tryImage(ctx, q, address, props)
		if err != nil {
			return store.Media{}, err
		}
		if image.ID != "" {
			return image, nil
		}
	}
	return store.Media{}, nil
}

// tryImage keeps a picture, if it is one.
func (s *Service) tryImage(ctx context.Context, q pageRequest, address string, props map[string]any) (store.Media, error) {
	res, err := s.ask(ctx, address, acceptImage, q.languages, s.maxImage())
	if err != nil {
		return store.Media{}, nil // a page without its picture is one too
	}
	defer func() { _ = res.Body.Close() }() // it was read
	info, image, err := s.keepImage(ctx, q, res)
	switch {
	case err == nil:
		describeImage(props, s.uri(image.ID), info, image.Content.Size)
		return image, nil
	case ctx.Err() != nil:
		return store.Media{}, nil // there is no time for it
	}
	return store.Media{}, notPicture(err)
}

// maxImage is how large a picture may be.
func (s *Service) maxImage() int64 { return min(s.cfg.URLPreviews.MaxImageBytes, s.cfg.MaxUploadBytes) }

// notPicture is nil for what is wrong with a picture, or with how it comes: then there is none.
func notPicture(err error) error {
	var read *readError
	if errors.Is(err, picture.ErrNotPicture) || errors.Is(err, picture.ErrTooLarge) || errors.As(err, &read) {
		return nil
	}
	return err
}

// magicBytes is how much of a picture tells that it is one.
const magicBytes = 32

// keepImage puts a picture into the blob store. The media is not in the database yet.
func (s *Service) keepImage(ctx context.Context, q pageRequest, res *http.Response) (info picture.Info, m store.Media, err error) {
	if res.ContentLength > s.maxImage() {
		return info, m, picture.ErrTooLarge
	}
	content := bufio.NewReaderSize(res.Body, 4<<10)
	magic, _ := content.Peek(magicBytes) // reading it says what is wrong
	if !picture.Known(magic) {
		return info, m, picture.ErrNotPicture
	}
	if m.ID, err = s.newID(); err != nil {
		return info, m, err
	}
	m.Content, err = s.put(ctx, &body{inner: content, hash: sha256.New(), left: s.maxImage(), over: outbound.ErrTooLarge})
	if err != nil {
		return info, store.Media{}, err
	}
	defer func() {
		if err != nil {
			s.drop(ctx, m.Content.Key)
			m = store.Media{}
		}
	}()
	kept, err := s.open(ctx, m.Content.Key)
	if err != nil {
		return info, m, err
	}
	defer func() { _ = kept.Close() }() // it was read
	if info, err = picture.Inspect(kept); err != nil {
		return info, m, err
	}
	if info.Pixels() > s.cfg.Thumbnails.MaxPixels {
		return info, m, picture.ErrTooLarge
	}
	m.ContentType = info.ContentType
	return info, m, s.tryDecoding(ctx, q.user, m.Content, kept, info)
}

// tryDecoding tells with picture.ErrNotPicture that nobody would see a picture, such as one that was cut off. It takes its turn with
// thumbnails. Where that does not come, or there is no memory for it, the picture is believed.
func (s *Service) tryDecoding(ctx context.Context, userID string, c store.Content, content io.ReadSeeker, info picture.Info) error {
	memory := info.TryMemory()
	if memory > s.cfg.Thumbnails.MemoryBytes {
		return nil
	}
	name := store.Thumbnail{Of: c.Key} // of no size
	_, err := s.decoding.do(ctx, want[store.Thumbnail]{user: userID, name: name}, func() (file, error) {
		return file{}, s.withMemory(ctx, memory, func() error { return picture.Try(ctx, content, info) })
	})
	if errors.Is(err, errAtOnce) && ctx.Err() == nil {
		return nil
	}
	return err
}

// describeImage says what picture a preview has.
func describeImage(props map[string]any, uri string, info picture.Info, size int64) {
	props["og:image"], props["og:image:type"] = uri, info.ContentType
	props["og:image:width"], props["og:image:height"] = info.Width, info.Height
	props["matrix:image:size"] = size
}
