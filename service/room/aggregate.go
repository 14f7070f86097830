package room

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"hongyan/matrix/canonicaljson"
	"hongyan/service/room/internal/store"
)

const (
	// maxReferences bounds the references that are told of an event, maxReferencesRead those that are looked at.
	maxReferences, maxReferencesRead = 100, 200
	// maxEditsRead bounds the replacements among which the newest is looked for that the reader may see.
	maxEditsRead = 100
)

// aggregate works out what is told of the relations of events beside them (client-server API, "Aggregations of child events").
// Where nothing relates to any of them it costs one query.
func (r *reads) aggregate(ctx context.Context, w *writer, events []shown, ignored map[string]struct{}) error {
	a := &aggregation{reads: r, w: w, v: w.view, ignored: ignored}
	return a.add(ctx, events)
}

// aggregation is the aggregations of the events of one answer.
type aggregation struct {
	*reads
	w *writer
	v *view
	// ignored are whom the reader ignores.
	ignored map[string]struct{}
}

// bundle is the aggregations of one event: sequence numbers of the newest edit and the newest reply, 0 for none.
type bundle struct {
	of           shown
	edit         int64
	references   []string
	thread       store.Thread
	participated bool
}

func (b *bundle) none() bool { return b.edit == 0 && len(b.references) == 0 && b.thread.Replies == 0 }

// add adds the aggregations of events to the writer's. A reply is no root of a thread, so that it ends with those of the newest
// replies.
func (a *aggregation) add(ctx context.Context, events []shown) error {
	bundles, err := a.bundles(ctx, events)
	if err != nil || len(bundles) == 0 {
		return err
	}
	related, err := a.related(ctx, bundles)
	if err != nil {
		return err
	}
	var replies []shown
	for i := range bundles {
		if reply, ok := related[bundles[i].thread.Latest]; ok {
			replies = append(replies, reply)
		}
	}
	if len(replies) > 0 {
		if err := a.add(ctx, replies); err != nil {
			return err
		}
	}
	if a.w.relations == nil {
		a.w.relations = map[string][]byte{}
	}
	for i := range bundles {
		raw, err := a.append(nil, &bundles[i], related)
		if err != nil {
			return err
		}
		a.w.relations[bundles[i].of.ID] = raw
	}
	return nil
}

// bundles finds what relates to the events. State events have no aggregations.
func (a *aggregation) bundles(ctx context.Context, events []shown) ([]bundle, error) {
	byID := make(map[string]shown, len(events))
	var parents []store.Parent
	for _, e := range events {
		if _, twice := byID[e.ID]; !twice && !e.event.IsState() {
			byID[e.ID] = e
			parents = append(parents, store.Parent{ID: e.ID, Sender: string(e.event.Sender()), Type: e.event.Type()})
		}
	}
	if len(parents) == 0 {
		return nil, nil
	}
	children, err := a.store.Children(ctx, a.v.ID, a.v.head, a.v.userID, parents)
	if err != nil {
		return nil, err
	}
	var bundles []bundle
	for i := range children {
		if children[i].None() {
			continue
		}
		b, err := a.bundle(ctx, byID[children[i].ID], &children[i])
		if err != nil {
			return nil, err
		}
		if !b.none() {
			bundles = append(bundles, b)
		}
	}
	return bundles, nil
}

// bundle leaves out what the reader may not see, and whom they ignore.
func (a *aggregation) bundle(ctx context.Context, of shown, c *store.Children) (b bundle, err error) {
	b.of = of
	rel := relationOf(of.event)
	if !of.Redacted && !(rel.stored() && rel.relType == relReplace) {
		if b.edit, err = a.newestEdit(ctx, of, c.Edit); err != nil {
			return b, err
		}
	}
	if c.Referenced {
		if b.references, err = a.references(ctx, of.ID); err != nil {
			return b, err
		}
	}
	if c.Replies > 0 && !rel.stored() {
		if b.thread, err = a.threadFor(ctx, a.v, of, store.Thread{Root: of.ID, Replies: c.Replies, Latest: c.Latest}, a.ignored); err != nil {
			return b, err
		}
		b.participated = c.Participated || string(of.event.Sender()) == a.v.userID
	}
	return b, nil
}

// newestEdit is the newest replacement that the reader may see, given the newest of all.
func (a *aggregation) newestEdit(ctx context.Context, of shown, newest int64) (int64, error) {
	sender := string(of.event.Sender())
	if _, ignored := a.ignored[sender]; ignored || newest == 0 || a.v.sees(newest) {
		if ignored {
			return 0, nil
		}
		return newest, nil
	}
	seqs, err := a.store.Edits(ctx, a.v.ID, a.v.head, store.Parent{ID: of.ID, Sender: sender, Type: of.event.Type()}, maxEditsRead)
	if err != nil {
		return 0, err
	}
	for _, seq := range seqs {
		if a.v.sees(seq) {
			return seq, nil
		}
	}
	return 0, nil
}

// references are the ids of the newest events that reference an event, oldest first.
func (a *aggregation) references(ctx context.Context, id string) (ids []string, err error) {
	list, err := a.store.References(ctx, a.v.ID, a.v.head, id, maxReferencesRead)
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		if _, ignored := a.ignored[f.Sender]; !ignored && a.v.sees(f.Seq) && len(ids) < maxReferences {
			ids = append(ids, f.ID)
		}
	}
	slices.Reverse(ids)
	return ids, nil
}

// threadFor is what a reader may see of a thread: usually all of it, which costs nothing.
func (r *reads) threadFor(ctx context.Context, v *view, root shown, all store.Thread, ignored map[string]struct{}) (store.Thread, error) {
	spans := v.within(root.Seq, min(all.Latest, v.head))
	if len(ignored) == 0 && len(spans) == 1 && spans[0].first == root.Seq && spans[0].last == all.Latest {
		return all, nil
	}
	if len(spans) == 0 {
		return store.Thread{Root: all.Root}, nil
	}
	ranges := make([]store.Span, len(spans))
	for i, s := range spans {
		ranges[i] = store.Span{First: s.first, Last: s.last}
	}
	return r.store.ThreadWithin(ctx, v.ID, all.Root, ranges, slices.Sorted(maps.Keys(ignored)))
}

// related reads the events that the bundles show.
func (a *aggregation) related(ctx context.Context, bundles []bundle) (map[int64]shown, error) {
	var seqs []int64
	for i := range bundles {
		for _, seq := range [...]int64{bundles[i].edit, bundles[i].thread.Latest} {
			if seq > 0 {
				seqs = append(seqs, seq)
			}
		}
	}
	events, err := a.store.EventsAt(ctx, a.v.ID, seqs)
	if err != nil {
		return nil, err
	}
	list, err := a.v.parseAll(events)
	bySeq := make(map[int64]shown, len(list))
	for _, s := range list {
		bySeq[s.Seq] = s
	}
	return bySeq, err
}

// append appends a bundle as m.relations.
func (a *aggregation) append(dst []byte, b *bundle, related map[int64]shown) (out []byte, err error) {
	dst = append(dst, '{')
	if len(b.references) > 0 {
		dst = append(canonicaljson.AppendKey(dst, "m.reference"), `{"chunk":[`...)
		for i, id := range b.references {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(canonicaljson.AppendString(append(dst, `{"event_id":`...), id), '}')
		}
		dst = append(dst, `]}`...)
	}
	if edit, ok := related[b.edit]; ok {
		if dst, err = a.w.event(canonicaljson.AppendKey(dst, relReplace), edit); err != nil {
			return nil, err
		}
	}
	if latest, ok := related[b.thread.Latest]; ok {
		dst = append(canonicaljson.AppendKey(dst, relThread), `{"count":`...)
		dst = strconv.AppendInt(dst, b.thread.Replies, 10)
		dst = strconv.AppendBool(append(dst, `,"current_user_participated":`...), b.participated)
		if dst, err = a.w.event(append(dst, `,"latest_event":`...), latest); err != nil {
			return nil, err
		}
		dst = append(dst, '}')
	}
	return append(dst, '}'), nil
}
