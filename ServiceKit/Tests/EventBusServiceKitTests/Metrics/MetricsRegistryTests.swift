import CoreMetrics
import Metrics
import Testing

@testable import EventBusServiceKit

@Suite("Metrics", .timeLimit(.minutes(1)))
struct MetricsRegistryTests {
    private let registry = MetricsRegistry(maximumSeries: 10)

    private func read() throws -> PrometheusDocument { try PrometheusDocument(registry.text()) }

    @Test("Counters add up under one name, both whole and fractional ones")
    func counters() throws {
        for _ in 0..<3 {
            Counter(label: "eventbus.published", dimensions: [("topic", "a")], factory: registry).increment(by: 2)
        }
        Counter(label: "eventbus.published", dimensions: [("topic", "b")], factory: registry).increment()
        let money = FloatingPointCounter(label: "shop.turnover", factory: registry)
        money.increment(by: 0.25)
        money.increment(by: 14)
        let document = try read()
        #expect(document.value("eventbus_published_total", ["topic": "a"]) == 6)
        #expect(document.value("eventbus_published_total", ["topic": "b"]) == 1)
        #expect(document.value("shop_turnover_total") == 14.25)
        #expect(document.types["eventbus_published_total"] == "counter")
        #expect(document.helps["eventbus_published_total"] == "Events published, by topic and outcome.")
        #expect(document.helps["shop_turnover_total"] == "The counter shop.turnover.")
    }

    @Test("Meters go up and down, and a recorder that does not aggregate has its last value")
    func gauges() throws {
        let meter = Meter(label: "in.flight", factory: registry)
        meter.set(5)
        meter.increment(by: 2.5)
        meter.decrement()
        Recorder(label: "last", aggregate: false, factory: registry).record(3)
        Recorder(label: "last", aggregate: false, factory: registry).record(-0.5)
        let document = try read()
        #expect(document.value("in_flight") == 6.5)
        #expect(document.value("last") == -0.5)
        #expect(document.types["in_flight"] == "gauge")
    }

    @Test("A recorder that aggregates is a summary with count and sum")
    func summaries() throws {
        let recorder = Recorder(label: "batch.size", factory: registry)
        recorder.record(3)
        recorder.record(4.5)
        let document = try read()
        #expect(document.types["batch_size"] == "summary")
        #expect(document.value("batch_size_sum") == 7.5)
        #expect(document.value("batch_size_count") == 2)
    }

    @Test("A timer is a histogram of seconds whose buckets count all smaller values")
    func histograms() throws {
        let timer = Timer(label: "handler.duration", dimensions: [("group", "g")], factory: registry)
        timer.recordNanoseconds(500_000)
        timer.recordNanoseconds(500_001)
        timer.recordMilliseconds(300)
        timer.recordSeconds(100)
        let document = try read()
        let name = "handler_duration_seconds"
        func bucket(_ le: String) -> Double? { document.value(name + "_bucket", ["group": "g", "le": le]) }
        #expect(document.types[name] == "histogram")
        #expect(bucket("0.0005") == 1 && bucket("0.001") == 2 && bucket("0.25") == 2 && bucket("0.5") == 3)
        #expect(bucket("10") == 3 && bucket("+Inf") == 4)
        #expect(document.value(name + "_count", ["group": "g"]) == 4)
        let sum = try #require(document.value(name + "_sum", ["group": "g"]))
        #expect(abs(sum - 100.301000001) < 1e-9)
        let bounds = document.samples.filter { $0.name == name + "_bucket" }.map(\.value)
        #expect(bounds == bounds.sorted() && bounds.count == HistogramSeries.bounds.count + 1)
    }

    @Test("Any value of a label is read as it was written")
    func escaping() throws {
        let values = ["", "\"", "\\", "\n", "\\n", "a\\\"b\nc", "ä😀", "{}=,", "\r", "\\\\"]
        for (index, value) in values.enumerated() {
            Counter(label: "c", dimensions: [("v", value)], factory: registry).increment(by: Int64(index))
        }
        let document = try read()
        for (index, value) in values.enumerated() {
            #expect(document.value("c_total", ["v": value]) == Double(index), "\(value)")
        }
    }

    @Test(
        "Names become what Prometheus takes",
        arguments: [
            ("a.b-c/d", "a_b_c_d_total"), ("9lives", "_9lives_total"), ("", "__total"), ("ünï", "_n__total"),
            ("http:requests", "http:requests_total"), ("done_total", "done_total"),
        ]
    )
    func names(label: String, expected: String) throws {
        Counter(label: label, factory: registry).increment()
        #expect(try read().value(expected) == 1)
    }

    @Test("Labels that are reserved for Prometheus, and duplicates, are renamed")
    func labels() throws {
        Counter(label: "c", dimensions: [("le", "1"), ("__x", "2"), ("a.b", "3"), ("a-b", "4")], factory: registry)
            .increment()
        #expect(try read().value("c_total", ["label_le": "1", "label___x": "2", "a_b": "3"]) == 1)
    }

    @Test("Metrics with one label and several kinds never share a name")
    func clashes() throws {
        Meter(label: "size", factory: registry).set(1)
        Recorder(label: "size", factory: registry).record(2)
        Meter(label: "size_count", factory: registry).set(3)
        Timer(label: "size", factory: registry).recordSeconds(4)
        let document = try read()
        #expect(document.value("size") == 1)
        #expect(document.samples.count { $0.value == 2 && $0.name.hasSuffix("_sum") } == 1)
        #expect(document.value("size_seconds_sum") == 4)
        #expect(Set(document.types.keys).isSuperset(of: ["size", "size_summary", "size_count", "size_seconds"]))
    }

    @Test("A name has a bounded number of series, and further ones are counted together")
    func bounds() throws {
        for number in 0..<1000 {
            Counter(label: "c", dimensions: [("id", "\(number)"), ("k", "v")], factory: registry).increment()
        }
        let samples = try read().samples.filter { $0.name == "c_total" }
        #expect(samples.count == 11)
        #expect(samples.reduce(0) { $0 + $1.value } == 1000)
        #expect(samples.contains { $0.labels == ["id": "other", "k": "other"] && $0.value == 990 })
    }

    @Test("A destroyed metric is removed")
    func destroying() throws {
        let counter = Counter(label: "c", factory: registry)
        counter.increment()
        counter.destroy()
        #expect(try read().value("c_total") == nil)
    }

    @Test("Increments of many tasks are all counted, and counters do not decrease")
    func concurrency() async throws {
        let registry = registry
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<1000 {
                        Counter(label: "c", factory: registry).increment()
                        FloatingPointCounter(label: "f", factory: registry).increment(by: 0.5)
                        Timer(label: "t", factory: registry).recordNanoseconds(1)
                    }
                }
            }
        }
        registry.makeCounter(label: "c", dimensions: []).increment(by: -5)
        let document = try read()
        #expect(document.value("c_total") == 8000)
        #expect(document.value("f_total") == 4000)
        #expect(document.value("t_seconds_count") == 8000)
    }

    @Test("Every sample has the service label, unless it has such a label itself")
    func service() throws {
        registry.setService("orders")
        Counter(label: "a", factory: registry).increment()
        Counter(label: "b", dimensions: [("service", "mine")], factory: registry).increment()
        let document = try read()
        #expect(document.value("a_total", ["service": "orders"]) == 1)
        #expect(document.value("b_total", ["service": "mine"]) == 1)
    }

    @Test("Numbers are written in Prometheus's format")
    func numbers() throws {
        for value in [Double.infinity, -.infinity, 1e300, .leastNonzeroMagnitude, -1.5, 0.1] {
            Meter(label: "m", factory: registry).set(value)
            #expect(try read().value("m") == value)
        }
        Meter(label: "m", factory: registry).set(Double.nan)
        #expect(try read().value("m")?.isNaN == true)
    }

    @Test("The process reports its start, its memory, its descriptors and its CPU time")
    func process() throws {
        let document = try read()
        let start = try #require(document.value("process_start_time_seconds"))
        #expect(start > 1.7e9)
        #expect(try #require(document.value("process_open_fds")) >= 3)
        #expect(try #require(document.value("process_resident_memory_bytes")) > 1_000_000)
        #expect(try #require(document.value("process_cpu_seconds_total")) >= 0)
        #expect(document.types["process_cpu_seconds_total"] == "counter")
    }
}
