package runwire

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	runwirev1 "runwire.dev/go/runwire/v1"
)

const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second

	defaultHeartbeat  = 15 * time.Second
	missedHeartbeats  = 3
	maxQueuedProgress = 256
)

var errSilent = errors.New("the server has been silent for too long")

// duplex is a two-way stream: one goroutine writes, the caller reads, heartbeats go both ways. Reading never waits for
// writing, so the two sides cannot block each other.
type duplex[Q, R any] struct {
	stream grpc.BidiStreamingClient[Q, R]
	ctx    context.Context
	cancel context.CancelCauseFunc
	wrap   wrapper[Q]

	mu        sync.Mutex
	queue     []*Q
	wake      chan struct{}
	finishing bool
	interval  time.Duration
	timer     *time.Timer
	readAt    time.Time
	wroteAt   time.Time
	ending    bool // the end is bounded already
	reading   bool // false while the caller is busy with what it has read
}

// wrapper makes a stream's own messages.
type wrapper[Q any] struct {
	report    func(*runwirev1.ToolCallReport) *Q
	heartbeat func() *Q
}

// newDuplex opens a stream. It writes nothing before start.
func newDuplex[Q, R any](
	ctx context.Context, wrap wrapper[Q],
	open func(context.Context, ...grpc.CallOption) (grpc.BidiStreamingClient[Q, R], error),
) (*duplex[Q, R], error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stream, err := open(ctx)
	if err != nil {
		cancel(err)
		return nil, fromRPC(err)
	}
	now := time.Now()
	d := &duplex[Q, R]{
		stream: stream, ctx: ctx, cancel: cancel, wrap: wrap, wake: make(chan struct{}, 1),
		interval: defaultHeartbeat, readAt: now, wroteAt: now, reading: true,
	}
	return d, nil
}

// start writes the first message, and from then on what is queued.
func (d *duplex[Q, R]) start(first *Q) {
	d.push(first)
	d.mu.Lock()
	d.timer = time.AfterFunc(d.interval/2, d.tick)
	d.mu.Unlock()
	go d.write()
}

// report queues a report. Progress is dropped when the server does not keep up: it is for display.
func (d *duplex[Q, R]) report(report *runwirev1.ToolCallReport) {
	if report.GetProgress() != nil {
		d.mu.Lock()
		full := len(d.queue) >= maxQueuedProgress
		d.mu.Unlock()
		if full {
			return
		}
	}
	d.push(d.wrap.report(report))
}

// push queues a message. It never waits; on a finished stream it does nothing.
func (d *duplex[Q, R]) push(message *Q) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.finishing {
		return
	}
	d.queue = append(d.queue, message)
	d.signal()
}

// agree takes the server's terms.
func (d *duplex[Q, R]) agree(terms *runwirev1.HostSession) {
	interval := terms.GetHeartbeatInterval().AsDuration()
	if interval <= 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interval = interval
	if d.timer != nil {
		d.timer.Reset(interval / 2)
	}
}

// read returns the server's next message; io.EOF at the end of the stream. The silence that counts is that within
// read, not that between two calls of it.
func (d *duplex[Q, R]) read() (*R, error) {
	d.mu.Lock()
	d.reading, d.readAt = true, time.Now()
	d.mu.Unlock()
	message, err := d.stream.Recv()
	d.mu.Lock()
	d.reading = false
	d.mu.Unlock()
	if err == nil {
		return message, nil
	}
	if errors.Is(context.Cause(d.ctx), errSilent) {
		return nil, &Error{Code: codes.Unavailable, Reason: ReasonHeartbeatMissed, Message: errSilent.Error()}
	}
	return nil, err
}

// finish half-closes once everything queued is written. If the server has not ended the stream within the time, it is
// cancelled; 0 waits as long as the server lives.
func (d *duplex[Q, R]) finish(within time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.finishing {
		return
	}
	d.finishing = true
	d.signal()
	if within > 0 {
		d.timer.Stop()
		d.ending = true
		d.timer = time.AfterFunc(within, func() { d.cancel(errSilent) })
	}
}

// close ends the stream now.
func (d *duplex[Q, R]) close() {
	d.mu.Lock()
	d.finishing = true
	if d.timer != nil {
		d.timer.Stop()
	}
	d.mu.Unlock()
	d.cancel(context.Canceled)
}

// signal wakes the writer; with the lock held.
func (d *duplex[Q, R]) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *duplex[Q, R]) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ending {
		return
	}
	now := time.Now()
	if d.reading && now.Sub(d.readAt) > d.interval*missedHeartbeats {
		d.cancel(errSilent)
		return
	}
	if now.Sub(d.wroteAt) >= d.interval/2 && !d.finishing {
		d.queue = append(d.queue, d.wrap.heartbeat())
		d.signal()
	}
	d.timer.Reset(d.interval / 2)
}

func (d *duplex[Q, R]) write() {
	for {
		select {
		case <-d.wake:
		case <-d.ctx.Done():
			return
		}
		for {
			message, finishing := d.next()
			if message == nil {
				if finishing {
					_ = d.stream.CloseSend() // It always returns nil.
					return
				}
				break
			}
			if d.stream.Send(message) != nil {
				return // The reader learns why.
			}
		}
	}
}

func (d *duplex[Q, R]) next() (message *Q, finishing bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wroteAt = time.Now()
	if len(d.queue) == 0 {
		return nil, d.finishing
	}
	message, d.queue = d.queue[0], d.queue[1:]
	return message, false
}

// waits are those between attempts: doubling, with full jitter, so that clients do not return in step.
type waits struct {
	next time.Duration
}

func (w *waits) reset() { w.next = 0 }

// wait waits for the next attempt, as long as the server asks at the least.
func (w *waits) wait(ctx context.Context, atLeast time.Duration) error {
	w.next = min(max(2*w.next, firstBackoff), maxBackoff)
	delay := max(firstBackoff/2+rand.N(w.next), atLeast)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
