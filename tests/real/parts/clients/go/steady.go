package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// watched is an exporter that counts how its requests ended.
type watched struct {
	sdktrace.SpanExporter
	mu      sync.Mutex
	ends    map[string]int
	last    map[string]string
	slowest time.Duration
}

func (w *watched) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	begin := time.Now()
	err := w.SpanExporter.ExportSpans(ctx, spans)
	took := time.Since(begin)
	code := status.Code(err).String()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slowest = max(w.slowest, took)
	w.ends[code] += len(spans)
	if err != nil {
		w.last[code] = err.Error()
	}
	return nil // nobody else has to be told
}

// connections counts what gRPC opens and loses underneath.
type connections struct {
	mu           sync.Mutex
	begun, ended int
}

func (c *connections) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (c *connections) HandleRPC(context.Context, stats.RPCStats)                       {}
func (c *connections) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}
func (c *connections) HandleConn(_ context.Context, s stats.ConnStats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s.(type) {
	case *stats.ConnBegin:
		c.begun++
	case *stats.ConnEnd:
		c.ended++
	}
}

// steady sends one span a request over OTLP/gRPC, as fast as it goes, on one connection with several requests open at
// once, and prints how they ended and what became of the connection. Nothing is tried again: an answer is an answer.
func steady(seconds, workers int) {
	ctx := context.Background()
	conns := &connections{}
	out := &watched{ends: map[string]int{}, last: map[string]string{}}
	out.SpanExporter = must(otlptracegrpc.New(ctx, otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: false}),
		otlptracegrpc.WithDialOption(grpc.WithStatsHandler(conns))))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { fmt.Fprintln(os.Stderr, err) }))
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	var all sync.WaitGroup
	for range workers {
		// A simple processor waits for its request; one of its own for each worker keeps several open.
		tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(out)).Tracer("steady")
		all.Go(func() {
			for time.Now().Before(end) {
				_, span := tracer.Start(ctx, "one")
				span.End()
			}
		})
	}
	all.Wait()
	conns.mu.Lock()
	begun, ended := conns.begun, conns.ended
	conns.mu.Unlock()
	check(out.Shutdown(ctx))
	text := must(json.Marshal(map[string]any{"ends": out.ends, "last": out.last, "begun": begun, "ended": ended,
		"slowest_ms": out.slowest.Milliseconds()}))
	fmt.Println(string(text))
}
