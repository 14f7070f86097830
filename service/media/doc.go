// Package media is the service that keeps what users upload: files by mxc:// URI, and thumbnails of pictures; and makes previews of
// web pages. It calls no other service, but other sites.
//
// It owns a database, which knows what there is, and a blob store, which has the bytes. Content is kept once, however often and by
// whomever it is uploaded: media are many to one content. A client uploads through the instance that owns the user, which bounds
// how much of that is done at once; any instance answers for all media.
//
// # Invariants
//
//   - What was answered is durable: first in the blob store, then in the database.
//   - A blob's key is in the database before the blob is written and until it is removed, and stands for one blob ever: a crash
//     leaves nothing that is not found (loose_blob), and what is removed is nobody's.
//   - How much of an upload is in memory does not grow with it: 64 KiB on its way into a folder, up to 7 MiB into a bucket, of
//     Config.Uploads at once. What is decoded is bounded before any of it is.
//   - Users take turns in having pictures decoded: nobody waits for all that another wants (turns).
//   - What a client can make grow is bounded: see Config. The sizes of thumbnails are the server's choice.
//   - What other sites are asked is judged when it is dialled, and what they answer is bounded (platform/outbound). Nothing of theirs
//     reaches a client but clean text, and pictures that are some.
//   - What comes back is never taken for a page of the server's: see headers.go.
package media
