// SPDX-License-Identifier: Apache-2.0
//
// Windows of recorded records, computed by Apache Flink: Windows INPUT OUTPUT DELAY_MS MAX_FUTURE_MS.
//
//   INPUT    a line a record, in the order in which they came: request,source,came_ms,time_ms,key,value
//            and  request,source,idle  from when on the source holds the watermark back no more
//   OUTPUT   a line a result: window,lateness_ms,key,start_ms,end_ms,count,sum,min,max in the order in which they fired,
//            and  window,lateness_ms,late,key,time_ms,value  for each record that was too late
//
// Watermarks are Flink's own: BoundedOutOfOrdernessWatermarks of each source, put together by its multiplexer. They move
// when a request is over. Windows are computed for each of the latenesses that stand behind the other arguments.
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.eventtime.BoundedOutOfOrdernessWatermarks;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkOutputMultiplexer;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.EventTimeSessionWindows;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.WindowAssigner;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.CloseableIterator;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

public class Windows {
    public static class Line {
        public long request, came, time, value;
        public String source = "", key = "";
        public boolean idle, last;

        static Line of(String text) {
            String[] f = text.split(",");
            Line l = new Line();

            l.request = Long.parseLong(f[0]);
            l.source = f[1];
            l.idle = f[2].equals("idle");
            if (!l.idle) {
                l.came = Long.parseLong(f[2]);
                l.time = Long.parseLong(f[3]);
                l.key = f[4];
                l.value = Long.parseLong(f[5]);
            }
            return l;
        }
    }

    /** One watermark of several sources, each bounded; it moves between requests. */
    static class Marks implements WatermarkGenerator<Line> {
        private final long delay;
        private final Map<String, BoundedOutOfOrdernessWatermarks<Line>> sources = new HashMap<>();
        private WatermarkOutputMultiplexer all;

        Marks(long delay) {
            this.delay = delay;
        }

        @Override
        public void onEvent(Line l, long time, WatermarkOutput out) {
            if (all == null) {
                all = new WatermarkOutputMultiplexer(out);
            }
            BoundedOutOfOrdernessWatermarks<Line> source = sources.computeIfAbsent(l.source, name -> {
                all.registerNewOutput(name, mark -> { });
                return new BoundedOutOfOrdernessWatermarks<>(Duration.ofMillis(delay));
            });
            if (l.idle) {
                all.getImmediateOutput(l.source).markIdle();
                return;
            }
            source.onEvent(l, time, out);
            if (l.last) {
                source.onPeriodicEmit(all.getImmediateOutput(l.source));
            }
        }

        @Override
        public void onPeriodicEmit(WatermarkOutput out) { }
    }

    static class Tell extends ProcessWindowFunction<Line, String, String, TimeWindow> {
        private final String name;

        Tell(String name) {
            this.name = name;
        }

        @Override
        public void process(String key, Context context, Iterable<Line> lines, Collector<String> out) {
            long count = 0, sum = 0, min = Long.MAX_VALUE, max = Long.MIN_VALUE;

            for (Line l : lines) {
                count++;
                sum += l.value;
                min = Math.min(min, l.value);
                max = Math.max(max, l.value);
            }
            out.collect(String.join(",", name, key, "" + context.window().getStart(), "" + context.window().getEnd(), "" + count, "" + sum,
                                    "" + min, "" + max));
        }
    }

    static List<DataStream<String>> windows(DataStream<Line> lines, String name, WindowAssigner<Object, TimeWindow> windows, long lateness) {
        OutputTag<Line> late = new OutputTag<Line>("late") { };
        String as = name + "," + lateness;
        SingleOutputStreamOperator<String> told = lines.filter(l -> !l.idle)
                                                      .keyBy(l -> l.key)
                                                      .window(windows)
                                                      .allowedLateness(Duration.ofMillis(lateness))
                                                      .sideOutputLateData(late)
                                                      .process(new Tell(as));

        return List.of(told, told.getSideOutput(late).map(l -> as + ",late," + l.key + "," + l.time + "," + l.value).returns(Types.STRING));
    }

    public static void main(String[] args) throws Exception {
        long delay = Long.parseLong(args[2]), maxFuture = Long.parseLong(args[3]);
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(1);
        List<Line> read = new ArrayList<>();
        DataStream<String> all = null;

        for (String text : Files.readAllLines(Path.of(args[0]))) {
            read.add(Line.of(text));
        }
        read.removeIf(l -> !l.idle && l.time - l.came > maxFuture);
        for (int i = 0; i < read.size(); i++) {
            read.get(i).last = i + 1 == read.size() || read.get(i + 1).request != read.get(i).request;
        }
        DataStream<Line> lines = env.fromCollection(read).assignTimestampsAndWatermarks(
            WatermarkStrategy.<Line>forGenerator(context -> new Marks(delay)).withTimestampAssigner((l, before) -> l.time));
        for (int i = 4; i < args.length; i++) {
            long lateness = Long.parseLong(args[i]);
            List<DataStream<String>> made = new ArrayList<>();

            made.addAll(windows(lines, "tumbling", TumblingEventTimeWindows.of(Duration.ofSeconds(10)), lateness));
            made.addAll(windows(lines, "hopping", SlidingEventTimeWindows.of(Duration.ofSeconds(20), Duration.ofSeconds(5)), lateness));
            made.addAll(windows(lines, "session", EventTimeSessionWindows.withGap(Duration.ofSeconds(3)), lateness));
            for (DataStream<String> s : made) {
                all = all == null ? s : all.union(s);
            }
        }
        try (CloseableIterator<String> out = all.executeAndCollect(); PrintWriter to = new PrintWriter(args[1])) {
            for (Iterator<String> i = out; i.hasNext(); ) {
                to.println(i.next());
            }
        }
    }
}
