package userlog

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
)

// Keys of entries. What is shown to clients begins with shown, so that one query reads it. Room ids may contain any
// character: their length stands before them.
const (
	shown      = "a"
	dataPrefix = shown + "d"
	markPrefix = shown + "r"
	filterKey  = "f"
	unreadKey  = "u"
)

func dataKey(roomID, eventType string) string { return roomPrefix(dataPrefix, roomID) + eventType }

// markKey is for receipt types, which have no slash.
func markKey(roomID, receiptType, threadID string) string {
	return roomPrefix(markPrefix, roomID) + receiptType + "/" + threadID
}

func roomPrefix(prefix, roomID string) string {
	var b strings.Builder
	b.Grow(len(prefix) + len(roomID) + 8)
	b.WriteString(prefix)
	b.WriteString(strconv.Itoa(len(roomID)))
	b.WriteByte(':')
	b.WriteString(roomID)
	return b.String()
}

// filterID names a filter by its content, so that the same filter has the same id for ever.
func filterID(filter []byte) string {
	sum := sha256.Sum256(filter)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}
