package configmap

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// Reasons of the events that are shown on the ConfigMap.
const (
	entrySkipped      = "MappingEntrySkipped"
	entryDoubtful     = "MappingEntryDoubtful"
	sectionUnreadable = "MappingSectionUnreadable"
)

const (
	// maxEvents is how many problems of one version of the ConfigMap get an event of
	// their own.
	maxEvents = 10
	// maxMessage bounds a message, in bytes, as events.k8s.io does.
	maxMessage = 1024
	// eventTimeout bounds the writing of one event.
	eventTimeout = 10 * time.Second
	// component is the source of the events.
	component = "iam-authenticator"
)

// recorder shows problems as events on the ConfigMap, which is a service to people
// and never in the way of anything: what can't be written is logged for debugging.
//
// It has its own names for events, which the recorder of client-go can't be given:
// the same problem of the same version gets the same name from every replica, and
// again after a restart, so that it is there once.
type recorder struct {
	client  rest.Interface
	log     *zap.Logger
	now     func() time.Time
	pending chan []*corev1.Event // of the last version that has any
}

func newRecorder(client rest.Interface, log *zap.Logger, now func() time.Time) *recorder {
	return &recorder{client: client, log: log, now: now, pending: make(chan []*corev1.Event, 1)}
}

// record has the problems of the ConfigMap written by run. It doesn't block, and
// may be called by one goroutine at a time.
func (r *recorder) record(cm *corev1.ConfigMap, doc mapper.Document, problems []mapper.Problem) {
	if cm == nil {
		return
	}
	var events []*corev1.Event
	for _, s := range []mapper.Section{doc.Roles, doc.Users, doc.Accounts} {
		if s.Err != nil {
			events = append(events, r.event(cm, sectionUnreadable, s.Err.Error()+"; the section stays as it was"))
		}
	}
	for i, p := range problems {
		if i == maxEvents {
			more := fmt.Sprintf("%d more problems; mend these first", len(problems)-i)
			events = append(events, r.event(cm, entrySkipped, more))
			break
		}
		why := entrySkipped
		if p.Severity == mapper.Warning {
			why = entryDoubtful
		}
		events = append(events, r.event(cm, why, p.String()))
	}
	select {
	case <-r.pending: // of an earlier version
	default:
	}
	if len(events) > 0 {
		r.pending <- events
	}
}

func (r *recorder) event(cm *corev1.ConfigMap, why, message string) *corev1.Event {
	now := metav1.NewTime(r.now())
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage-len("…")], "") + "…"
	}
	id := sha256.Sum256([]byte(strings.Join([]string{string(cm.UID), cm.ResourceVersion, why, message}, "\x00")))
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: fmt.Sprintf("%s.%x", Name, id[:8])},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "ConfigMap", Namespace: Namespace, Name: Name,
			UID: cm.UID, ResourceVersion: cm.ResourceVersion,
		},
		Type: corev1.EventTypeWarning, Reason: why, Message: message,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: component},
	}
}

// run writes events until the context ends.
func (r *recorder) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case events := <-r.pending:
			r.write(ctx, events)
		}
	}
}

func (r *recorder) write(ctx context.Context, events []*corev1.Event) {
	for _, e := range events {
		ctx, cancel := context.WithTimeout(ctx, eventTimeout)
		err := r.client.Post().Namespace(Namespace).Resource("events").Body(e).Do(ctx).Error()
		cancel()
		switch {
		case err == nil || apierrors.IsAlreadyExists(err):
		case apierrors.IsForbidden(err):
			r.log.Debug("no right to create events in "+Namespace+", bad entries are only logged", zap.Error(err))
			return
		default:
			r.log.Debug("event not written", zap.String("event", e.Name), zap.Error(err))
		}
	}
}
