package eventlog_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
)

func TestTransactionsExpire(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		ctx := t.Context()
		s := stream(t, l, "!a:hs")
		known := func(id string) bool {
			_, ok, err := l.Txn(ctx, "alice", id)
			require.NoError(t, err)
			return ok
		}
		txn := func(id string, keep time.Duration) eventlog.Txn {
			return eventlog.Txn{Scope: "alice", ID: id, Response: []byte("x"), Keep: keep}
		}
		a := message(s, 0, "$1")
		a.Txns = []eventlog.Txn{txn("for ever", 0), txn("appended", time.Hour)}
		_, err := l.Append(ctx, a)
		require.NoError(t, err)
		require.NoError(t, l.PutTxn(ctx, txn("put", 2*time.Hour)))
		for i := range 1100 { // more than go at once
			require.NoError(t, l.PutTxn(ctx, txn(fmt.Sprint(i), time.Minute)))
		}

		require.NoError(t, l.ExpireTxns(ctx, time.Now()))
		require.True(t, known("0"), "nothing has expired")
		require.NoError(t, l.ExpireTxns(ctx, time.Now().Add(5*time.Minute)))
		for i := range 1100 {
			require.False(t, known(fmt.Sprint(i)))
		}
		require.True(t, known("appended"))
		require.NoError(t, l.ExpireTxns(ctx, time.Now().Add(time.Hour)))
		require.False(t, known("appended"))
		require.True(t, known("put"))
		require.NoError(t, l.ExpireTxns(ctx, time.Now().AddDate(10, 0, 0)))
		require.False(t, known("put"))
		require.True(t, known("for ever"))
	})
}

func TestPutTxnKeepsTheFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		for _, response := range []string{"first", "second"} {
			require.NoError(t, l.PutTxn(t.Context(), eventlog.Txn{Scope: "alice", ID: "t", Response: []byte(response)}))
		}
		response, ok, err := l.Txn(t.Context(), "alice", "t")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "first", string(response))
	})
}

func TestPutTxnsInSeveralScopes(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		ctx := t.Context()
		txn := eventlog.Txn{Scope: "none", ID: "t", Response: []byte("answer"), Keep: time.Hour}
		require.NoError(t, l.PutTxns(ctx, txn, nil))
		require.NoError(t, l.PutTxn(ctx, eventlog.Txn{Scope: "a|1", ID: "t", Response: []byte("first")}))
		require.NoError(t, l.PutTxns(ctx, txn, []string{"a|1", "a|2", "a|\u65e5\"[]"}))
		for scope, want := range map[string]string{"none": "", "a|1": "first", "a|2": "answer", "a|\u65e5\"[]": "answer"} {
			response, ok, err := l.Txn(ctx, scope, "t")
			require.NoError(t, err)
			require.Equal(t, want != "", ok, scope)
			require.Equal(t, want, string(response), scope)
		}
		require.NoError(t, l.ExpireTxns(ctx, time.Now().Add(2*time.Hour)))
		_, ok, err := l.Txn(ctx, "a|2", "t")
		require.NoError(t, err)
		require.False(t, ok)
	})
}

func TestForgetTxnsOfAPrefix(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		ctx := t.Context()
		put := func(scope, id string) {
			require.NoError(t, l.PutTxn(ctx, eventlog.Txn{Scope: scope, ID: id}))
		}
		for i := range 1100 { // more than go at once
			put("alice|A|", fmt.Sprint(i))
		}
		put("alice|A|x", "t")
		others := []string{"alice|A", "alice|AB|", "alice|B|", "alice", "bob|A|", "alice|A}"}
		for _, scope := range others {
			put(scope, "t")
		}
		require.NoError(t, l.ForgetTxns(ctx, "alice|A|"))
		known := func(scope, id string) bool {
			_, ok, err := l.Txn(ctx, scope, id)
			require.NoError(t, err)
			return ok
		}
		for i := range 1100 {
			require.False(t, known("alice|A|", fmt.Sprint(i)))
		}
		require.False(t, known("alice|A|x", "t"))
		for _, scope := range others {
			require.True(t, known(scope, "t"), scope)
		}
		require.Error(t, l.ForgetTxns(ctx, ""), "everything is no prefix")
		require.Error(t, l.ForgetTxns(ctx, "\u65e5"))
	})
}
