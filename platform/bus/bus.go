package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrClosed is returned by a bus after Close.
var ErrClosed = errors.New("bus closed")

// MaxMessage is the largest message in bytes.
const MaxMessage = 64 << 10

// Message is what a subscriber gets.
type Message struct {
	// Subject is what it was published under.
	Subject string
	// Data belongs to all subscribers: it is not changed.
	Data []byte
}

// Handler takes messages of one subscription, one after another, each within a goroutine of the bus. While it takes
// its time messages pile up, and then the oldest are dropped.
type Handler func(Message)

// Bus carries messages from publishers to whoever subscribes at that time, in this process or in all of them.
type Bus interface {
	// Publish sends data under a subject: words of letters, digits, "-" and "_", separated by dots. It never waits for
	// subscribers. No error does not mean that anybody gets it.
	Publish(ctx context.Context, subject string, data []byte) error
	// Subscribe calls handler with what is published from now on under subjects that the pattern fits: "*" stands for
	// one word, ">" at the end for one or more.
	Subscribe(pattern string, handler Handler) (Subscription, error)
	// Connected says whether messages reach other instances just now. Followers ask for heads more often while not.
	Connected() bool
	// Close ends all subscriptions as Unsubscribe does.
	Close() error
}

// Subscription is one interest in a bus.
type Subscription interface {
	// Unsubscribe ends it and waits for its handler, which must not call it itself. It may be called twice.
	Unsubscribe()
	// Dropped returns how many messages were dropped because the handler was slow.
	Dropped() uint64
}

// CheckSubject returns what is wrong with a subject to publish under.
func CheckSubject(subject string) error {
	for word := range strings.SplitSeq(subject, ".") {
		if !isWord(word) {
			return fmt.Errorf("subject %q: want words of letters, digits, - and _ separated by dots", subject)
		}
	}
	return nil
}

// CheckPattern returns what is wrong with a pattern to subscribe to.
func CheckPattern(pattern string) error {
	words := strings.Split(pattern, ".")
	for i, word := range words {
		if word == "*" || word == ">" && i == len(words)-1 || isWord(word) {
			continue
		}
		return fmt.Errorf("pattern %q: want words, *, and > at the end, separated by dots", pattern)
	}
	return nil
}

func isWord(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != ""
}

// Fits returns whether a valid subject fits a valid pattern.
func Fits(pattern, subject string) bool {
	for {
		p, restPattern, morePattern := strings.Cut(pattern, ".")
		if p == ">" {
			return true
		}
		s, restSubject, moreSubject := strings.Cut(subject, ".")
		if p != "*" && p != s {
			return false
		}
		if morePattern != moreSubject {
			return false
		}
		if !morePattern {
			return true
		}
		pattern, subject = restPattern, restSubject
	}
}
