// SPDX-License-Identifier: Apache-2.0

// The Collector's pkg/ottl is asked what conditions.txt says, and whether it refuses what mistakes.txt says. In a folder
// with this file and a go.mod that requires github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl v0.158.0:
// go run . DIR, with the folder of conditions.txt.
//
// Lines that begin with D are ours alone. A line is printed for each other answer, and the exit status is 1.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottldatapoint"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottllog"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlmetric"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlresource"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlscope"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspan"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspanevent"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/ottlfuncs"
)

// answer is T, F, E: it failed, or X: it was refused, with the reason.
type answer struct{ is, why string }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// ask compiles a condition and asks it of one item. A panic of the Collector counts as a failure.
func ask[K any](parser ottl.Parser[K], item K, text string) (a answer) {
	defer func() {
		if r := recover(); r != nil {
			a = answer{"E", fmt.Sprint(r)}
		}
	}()
	condition, err := parser.ParseCondition(text)
	if err != nil {
		return answer{"X", err.Error()}
	}
	is, err := condition.Eval(context.Background(), item)
	switch {
	case err != nil:
		return answer{"E", err.Error()}
	case is:
		return answer{"T", ""}
	}
	return answer{"F", ""}
}

type world struct {
	traces  ptrace.Traces
	logs    plog.Logs
	metrics pmetric.Metrics
}

func load(dir string) world {
	read := func(name string) []byte { return must(os.ReadFile(dir + "/items/" + name + ".json")) }
	return world{
		must((&ptrace.JSONUnmarshaler{}).UnmarshalTraces(read("traces"))),
		must((&plog.JSONUnmarshaler{}).UnmarshalLogs(read("logs"))),
		must((&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(read("metrics"))),
	}
}

func firstPoint(m pmetric.Metric) any {
	switch m.Type() {
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().At(0)
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().At(0)
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().At(0)
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().At(0)
	default:
		return m.Summary().DataPoints().At(0)
	}
}

func (w world) ask(kind string, index int, text string) answer {
	set := componenttest.NewNopTelemetrySettings()
	rs := w.traces.ResourceSpans().At(0)
	ss := rs.ScopeSpans().At(0)
	rl := w.logs.ResourceLogs().At(0)
	sl := rl.ScopeLogs().At(0)
	rm := w.metrics.ResourceMetrics().At(0)
	sm := rm.ScopeMetrics().At(0)

	switch kind {
	case "span":
		functions := ottlfuncs.StandardConverters[*ottlspan.TransformContext]()
		root := ottlfuncs.NewIsRootSpanFactoryNew()
		functions[root.Name()] = root
		return ask(must(ottlspan.NewParser(functions, set)),
			ottlspan.NewTransformContextPtr(rs, ss, ss.Spans().At(index)), text)
	case "spanevent":
		span := ss.Spans().At(0)
		return ask(must(ottlspanevent.NewParser(ottlfuncs.StandardConverters[*ottlspanevent.TransformContext](), set)),
			ottlspanevent.NewTransformContextPtr(rs, ss, span, span.Events().At(index),
				ottlspanevent.WithEventIndex(int64(index))), text)
	case "resource":
		return ask(must(ottlresource.NewParser(ottlfuncs.StandardConverters[*ottlresource.TransformContext](), set)),
			ottlresource.NewTransformContextPtr(rs.Resource(), rs), text)
	case "scope":
		return ask(must(ottlscope.NewParser(ottlfuncs.StandardConverters[*ottlscope.TransformContext](), set)),
			ottlscope.NewTransformContextPtr(ss.Scope(), rs.Resource(), ss, rs), text)
	case "log":
		return ask(must(ottllog.NewParser(ottlfuncs.StandardConverters[*ottllog.TransformContext](), set)),
			ottllog.NewTransformContextPtr(rl, sl, sl.LogRecords().At(index)), text)
	case "metric":
		return ask(must(ottlmetric.NewParser(ottlfuncs.StandardConverters[*ottlmetric.TransformContext](), set)),
			ottlmetric.NewTransformContextPtr(rm, sm, sm.Metrics().At(index)), text)
	default:
		m := sm.Metrics().At(index)
		return ask(must(ottldatapoint.NewParser(ottlfuncs.StandardConverters[*ottldatapoint.TransformContext](), set)),
			ottldatapoint.NewTransformContextPtr(rm, sm, m, firstPoint(m)), text)
	}
}

// check asks all lines of a file; returns how many there were, and how many were answered otherwise.
func (w world) check(path string) (asked, other int) {
	kind, index := "", 0
	lines := bufio.NewScanner(must(os.Open(path)))
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		if strings.HasPrefix(line, "@") {
			index = 0
			_, _ = fmt.Sscanf(line, "@%s %d", &kind, &index)
			continue
		}
		if len(line) < 3 || line[1] != ' ' || !strings.Contains("TFE?", line[:1]) {
			continue
		}
		asked++
		a := w.ask(kind, index, line[2:])
		if a.is == line[:1] || (line[0] == '?' && (a.is == "X" || a.is == "E")) {
			continue
		}
		other++
		fmt.Printf("%s:%d: %s: %s\n    %s\n", path, number, a.is, line, a.why)
	}
	return asked, other
}

func main() {
	w := load(os.Args[1])
	bad := 0
	for _, name := range []string{"conditions.txt", "mistakes.txt"} {
		asked, other := w.check(os.Args[1] + "/" + name)
		fmt.Printf("%s: %d asked, %d answered otherwise\n", name, asked, other)
		bad += other
	}
	if bad > 0 {
		os.Exit(1)
	}
}
