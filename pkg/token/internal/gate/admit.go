package gate

import (
	"math"
	"time"
)

const never = time.Duration(math.MaxInt64)

// admit lets in all who may go, in turn, and sets the alarm for those who may later.
func (g *Gate) admit(now time.Duration) {
	g.stopAlarm()
	for {
		c, after := g.next(now)
		if c == nil {
			if after < never {
				g.setAlarm(now, after)
			}
			return
		}
		g.queue.grant(c)
		g.begin(c)
		close(c.ready)
	}
}

// next returns who goes next, or nil and when somebody may: never if that takes
// more than time.
func (g *Gate) next(now time.Duration) (c *call, after time.Duration) {
	after = never
	wait := func(bound Shed) {
		if bound.After > 0 {
			after = min(after, bound.After)
		}
	}
	for i := range classes {
		class := (g.queue.turn + i) % classes
		line := &g.queue.lines[class]
		if line.Len() == 0 {
			continue
		}
		if bound := g.classBound(class, now); bound.Cause != "" {
			wait(bound)
			continue
		}
		for e := line.Front(); e != nil; e = e.Next() {
			group := e.Value.(*group)
			if bound := g.keyBound(group.key, class, now); bound.Cause != "" {
				wait(bound)
				continue
			}
			for e := group.calls.Front(); e != nil; e = e.Next() {
				c := e.Value.(*call)
				bound := g.hostBound(c, now)
				if bound.Cause == "" {
					return c, 0
				}
				wait(bound)
			}
		}
	}
	return nil, after
}

// setAlarm has admit run after some time, or before: an alarm that is set for an
// earlier time stays.
func (g *Gate) setAlarm(now, after time.Duration) {
	if now+after >= g.alarm {
		return
	}
	g.alarm = now + after
	if g.timer == nil {
		g.timer = time.AfterFunc(after, g.ring)
		return
	}
	g.timer.Reset(after)
}

func (g *Gate) stopAlarm() {
	if g.alarm == never {
		return
	}
	g.alarm = never
	g.timer.Stop()
}

// ring may come late, after the alarm was stopped or set anew; that harms nobody.
func (g *Gate) ring() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := g.now(); now >= g.alarm {
		g.admit(now)
	}
}
