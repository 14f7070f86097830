// Package once makes a request happen once that a gateway may send twice.
//
// A gateway that hears nothing from an instance sends its request to another. The first may only have been held up, and goes
// on later: by then the client has its answer, and may have asked for something else since. What the first instance
// would write then must not undo that. So every attempt writes the gateway's key for the request together with what
// the request does (eventlog.Append.Txns), and of all attempts one is written.
//
// A key stands for one request: it means nothing once no attempt at it can be under way any more, and is forgotten.
package once
