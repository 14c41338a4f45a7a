// SPDX-License-Identifier: Apache-2.0

// Writes the masks of limits_test.c and policy_test.c: what Go's own token bucket and trace state do. In a folder with
// this file and a go.mod that requires golang.org/x/time v0.15.0 and go.opentelemetry.io/otel/trace v1.44.0: go run .
package main

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

func splitmix(s *uint64) uint64 {
	*s += 0x9e3779b97f4a7c15
	z := *s
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func buckets() {
	for i, c := range []struct {
		perSecond float64
		burst     int
	}{{10, 20}, {0, 50}, {1, 1}, {35, 70}, {1000, 100}, {3, 1000}, {0.5, 4}} {
		seed := uint64(i + 1)
		lim := rate.NewLimiter(rate.Limit(c.perSecond), c.burst)
		now := time.Unix(1700000000, 0)
		fmt.Printf("{%v, %d, {", c.perSecond, c.burst)
		for k := 0; k < 4; k++ {
			var mask uint64
			for j := 0; j < 64; j++ {
				now = now.Add(time.Duration(splitmix(&seed) % 400000000))
				if splitmix(&seed)%16 == 0 {
					now = now.Add(-time.Second)
				}
				n := int(splitmix(&seed) % uint64(c.burst/2+2))
				if lim.AllowN(now, n) {
					mask |= 1 << j
				}
			}
			fmt.Printf("0x%016x, ", mask)
		}
		fmt.Println("}},")
	}
}

func states() {
	parts := []string{"k", "=", "v", ",", " ", "\t", "@", "a", "k=v", "k=v,", "b=w,", "K", "*", "-", "/", "1", "=v ", "k =v", " k=v", "k=v ", ",,"}
	seed := uint64(99)
	for k := 0; k < 16; k++ {
		var mask uint64
		for j := 0; j < 64; j++ {
			s := ""
			for n := splitmix(&seed)%6 + 1; n > 0; n-- {
				s += parts[splitmix(&seed)%uint64(len(parts))]
			}
			if ts, err := trace.ParseTraceState(s); err == nil && ts.Get("k") == "v" {
				mask |= 1 << j
			}
		}
		fmt.Printf("0x%016x, ", mask)
	}
	fmt.Println()
}

func main() {
	buckets()
	states()
}
