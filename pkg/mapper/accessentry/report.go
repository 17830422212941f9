package accessentry

import (
	"context"
	"encoding/json"
	"hash/maphash"
	"strconv"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/objects"
)

// The reasons of the condition Accepted.
const (
	reasonInForce            = "InForce"
	reasonInvalidSpec        = "InvalidSpec"
	reasonDuplicatePrincipal = "DuplicatePrincipal"
)

const (
	// manager is the field manager of what is written. Replicas share it.
	manager = "iam-authenticator"
	// pace is the time between two writes: 20 per second.
	pace = 50 * time.Millisecond
	// maxPause bounds the time to the next try after failures, which begins with
	// minPause and doubles.
	minPause = time.Second
	maxPause = time.Minute
	// writeTimeout bounds a write.
	writeTimeout = 10 * time.Second
	// maxRepeats is how often the same is written to the same entry within an epoch.
	// Whoever overwrites it all the time, such as a replica of another version, is
	// not fought.
	maxRepeats = 5
	epoch      = 10 * time.Minute
)

// applyFunc applies the JSON of a configuration to the status of an entry.
type applyFunc func(ctx context.Context, name string, configuration []byte, manager string) error

// reporter writes into the status of entries whether they are in force, where it
// doesn't say so already. Logins don't depend on it.
//
// Replicas write the same, and nobody writes twice: a write is for the version of
// the object that was seen, so that of two at the same time one fails, and sees what
// the other wrote next.
type reporter struct {
	store *objects.Store
	queue *queue
	apply applyFunc
	log   *zap.Logger
	now   func() time.Time
	seed  maphash.Seed

	// Of run alone.
	pause   time.Duration // after failures; 0 if the last write succeeded
	repeats map[report]int
	began   time.Time // of the epoch
}

// report names what was written to an entry.
type report struct {
	name string
	sum  uint64
}

// newReporter returns a reporter and the store of entries on which it reports.
func newReporter(apply applyFunc, log *zap.Logger, now func() time.Time) *reporter {
	r := &reporter{
		queue:   newQueue(),
		apply:   apply,
		log:     log,
		now:     now,
		seed:    maphash.MakeSeed(),
		repeats: map[report]int{},
	}
	r.store = objects.NewStore(objects.Kind{Name: kind, Entry: entry, Reported: r.read, Changed: r.changed}, log)
	return r
}

// read returns what is kept of a status. One that can't be read is as good as none.
func (r *reporter) read(data []byte) objects.Reported {
	var s v1alpha1.AccessEntryStatus
	if len(data) == 0 || kjson.UnmarshalCaseSensitivePreserveInts(data, &s) != nil {
		return objects.Reported{}
	}
	for _, c := range s.Conditions {
		if c.Type == v1alpha1.ConditionAccepted {
			return objects.Reported{
				Sum:   r.sum(c, s.CanonicalARN),
				Since: c.LastTransitionTime.Unix(),
				OK:    c.Status == metav1.ConditionTrue,
			}
		}
	}
	return objects.Reported{}
}

// sum tells one report from another, whenever they were made.
func (r *reporter) sum(c metav1.Condition, canonicalARN string) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, s := range [...]string{string(c.Status), c.Reason, c.Message, canonicalARN} {
		_, _ = h.WriteString(s)
		_ = h.WriteByte(0)
	}
	_, _ = h.WriteString(strconv.FormatInt(c.ObservedGeneration, 10))
	return h.Sum64()
}

// condition is what should be reported, without its time.
func condition(v objects.Verdict) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, ObservedGeneration: v.Generation}
	switch {
	case v.Invalid != "":
		c.Reason, c.Message = reasonInvalidSpec, v.Invalid
	case v.Stands != "":
		c.Reason, c.Message = reasonDuplicatePrincipal, "The access entry "+v.Stands+" is older, for the same principal, and stands instead."
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, reasonInForce, "The principal gets in as the spec says."
	}
	return c
}

// changed notes an entry whose status is to be written. The store calls it.
func (r *reporter) changed(v objects.Verdict) {
	if r.sum(condition(v), v.CanonicalARN) != v.Reported.Sum {
		r.queue.push(v.Name)
	}
}

// run writes until the context ends, and returns nil then.
func (r *reporter) run(ctx context.Context) error {
	for {
		name, ok := r.queue.pop()
		if !ok {
			select {
			case <-ctx.Done():
				return nil
			case <-r.queue.filled:
			}
			continue
		}
		wait, tried := r.report(ctx, name)
		if !tried {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// report writes the status of an entry, if it is not right. It returns how long to
// wait after it tried.
func (r *reporter) report(ctx context.Context, name string) (wait time.Duration, tried bool) {
	v, ok := r.store.Verdict(name)
	if !ok {
		return 0, false
	}
	c := condition(v)
	key := report{name, r.sum(c, v.CanonicalARN)}
	now := r.now()
	if now.Sub(r.began) >= epoch {
		clear(r.repeats)
		r.began = now
	}
	if key.sum == v.Reported.Sum || r.repeats[key] >= maxRepeats {
		return 0, false
	}
	c.LastTransitionTime = metav1.NewTime(now)
	if v.Reported.Since > 0 && v.Reported.OK == (c.Status == metav1.ConditionTrue) {
		c.LastTransitionTime = metav1.Unix(v.Reported.Since, 0)
	}
	body, err := configuration(v, c)
	if err != nil {
		r.log.Error("status of an access entry not made", zap.String("entry", name), zap.Error(err))
		return 0, false
	}
	attempt, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return r.done(ctx, key, r.apply(attempt, name, body, manager)), true
}

// configuration returns the apply configuration of a status. The ARN stands in it
// also if it is empty: what is left out would stay if somebody else wrote it.
func configuration(v objects.Verdict, c metav1.Condition) ([]byte, error) {
	return json.Marshal(map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(),
		"kind":       kind,
		"metadata":   map[string]any{"name": v.Name, "uid": v.UID, "resourceVersion": v.ResourceVersion},
		"status":     map[string]any{"canonicalARN": v.CanonicalARN, "conditions": []metav1.Condition{c}},
	})
}

// done notes how a write went, and returns how long to wait.
func (r *reporter) done(ctx context.Context, key report, err error) time.Duration {
	switch {
	case err == nil:
		r.repeats[key]++
	case apierrors.IsConflict(err) || apierrors.IsNotFound(err):
		// It has changed or gone since, of which the store is told.
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err):
		r.repeats[key]++
		r.log.Warn("status of an access entry refused by the API server", zap.String("entry", key.name), zap.Error(err))
	default:
		r.queue.pushLast(key.name) // so that it is not this one that holds up all others
		if r.pause == 0 && ctx.Err() == nil {
			r.log.Warn("status of access entries can't be written, logins don't depend on it; "+
				"to have it, grant the verb patch on accessentries/status", zap.Error(err))
		}
		r.pause = min(max(2*r.pause, minPause), maxPause)
		return r.pause
	}
	if r.pause > 0 {
		r.log.Info("status of access entries can be written again")
		r.pause = 0
	}
	return pace
}
