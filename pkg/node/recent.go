package node

import "container/list"

// recent is a map that forgets what was not used for the longest time.
type recent[V any] struct {
	most  int
	order list.List // of *item[V], the last used in front
	byKey map[string]*list.Element
}

type item[V any] struct {
	key   string
	value V
}

func newRecent[V any](most int) *recent[V] {
	return &recent[V]{most: most, byKey: map[string]*list.Element{}}
}

func (r *recent[V]) get(key string) (value V, ok bool) {
	e, ok := r.byKey[key]
	if !ok {
		return value, false
	}
	r.order.MoveToFront(e)
	return e.Value.(*item[V]).value, true
}

func (r *recent[V]) put(key string, value V) {
	r.remove(key)
	if len(r.byKey) >= r.most {
		r.remove(r.order.Back().Value.(*item[V]).key)
	}
	r.byKey[key] = r.order.PushFront(&item[V]{key, value})
}

func (r *recent[V]) remove(key string) {
	if e, ok := r.byKey[key]; ok {
		r.order.Remove(e)
		delete(r.byKey, key)
	}
}

func (r *recent[V]) len() int { return len(r.byKey) }
